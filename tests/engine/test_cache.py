"""Compiled rules are kept on disk: found again, renewed after any edit, done without where none can be kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import njit

import llm_envs
from llm_envs.engine import jit
from llm_envs.testing import trajectory_digest

ADDITION = "Tokens/Addition-v0"


def run(program: str, **environment: str) -> str:
    """Run a program in a fresh interpreter and return its output; a hang or a crash fails the test."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", program]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=environment.get("PYTHONPATH"), timeout=120, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


PLAY = """
import llm_envs, json
from llm_envs.testing.random_walks import digest_walk
batch = llm_envs.make_batch("Tokens/Addition-v0", 2, pool=100)
digest = digest_walk(batch, 60, 7)
stats = batch._step_driver.func.stats
print(json.dumps([digest, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), llm_envs.__file__]))
"""
EDITS = {
    "a rule": ("tokens/tasks/addition.py", "signals.match = 1.0 /", "signals.match = 0.5 /"),
    "a helper of another module": ("rng.py", "x ^ (x >> np.uint64(30))", "x ^ (x >> np.uint64(29))"),
    "a constant of another module": ("vocabulary.py", "PAD, END = 0, 1", "PAD, END = 0, 7"),
}


def test_compiled_rules_are_kept_and_an_edit_is_seen(tmp_path):
    """Numba looks at the driver's file alone, and that is the engine's, not the world's."""
    package = tmp_path / "copy" / "llm_envs"
    shutil.copytree(Path(llm_envs.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    first, second = (json.loads(run(PLAY, **environment)) for _ in range(2))
    assert first[3].startswith(str(package))
    assert (first[1:3], second[1:3]) == ([0, 1], [1, 0])
    assert first[0] == second[0]
    for name, (file, old, new) in EDITS.items():
        text = (package / file).read_text()
        assert old in text
        (package / file).write_text(text.replace(old, new))
        found, hits, *_ = json.loads(run(PLAY, **environment))
        assert found != first[0], f"an edit of {name} went unseen"
        assert hits == 0
        (package / file).write_text(text)


def test_kernels_compiled_in_two_processes_run_in_a_third(tmp_path):
    """Inner functions of the two must not have one name, or the one loaded last runs on the other's offsets."""
    program = "from llm_envs.testing import trajectory_digest\nfor n in {}:\n"
    program += "    print(trajectory_digest('Tokens/Copy-v0', 4, 20, 7, length=n))"
    kept = {"NUMBA_CACHE_DIR": str(tmp_path)}
    alone = [run(program.format([n]), **kept).strip() for n in (5, 20)]
    assert run(program.format([5, 20]), **kept).split() == alone
    assert run(program.format([20, 5]), **kept).split() == alone[::-1]


def test_fingerprints_are_the_same_in_every_process():
    """Otherwise nothing would be found in the cache again."""
    program = (
        "import json, llm_envs\nfrom llm_envs.registration import build\n"
        "from llm_envs.engine.drivers import cpu_drivers\n"
        "print([d.func.py_func.__qualname__ for i in llm_envs.ids() for d in cpu_drivers(build(i, {}), 1, 1)[1:3]])"
    )
    assert run(program, PYTHONHASHSEED="1") == run(program, PYTHONHASHSEED="2")


def test_fingerprints_see_all_that_a_rule_uses():
    """Defaults, comprehensions, attributes of modules, options of njit: none of them is in the rule's own bytecode."""
    pairs = [
        ("def f(x, k=3): return x * k", "def f(x, k=4): return x * k"),
        ("def f(x): return [j * 3 for j in range(x)]", "def f(x): return [j * 4 for j in range(x)]"),
        ("f = njit(lambda x: x / 3)", "f = njit(fastmath=True)(lambda x: x / 3)"),
        ("a = (1, 2)\ndef f(x): return a[x]", "a = (1, 3)\ndef f(x): return a[x]"),
        ("a = np.arange(4)\ndef f(x): return a[x]", "a = np.arange(4).reshape(2, 2)\ndef f(x): return a[x]"),
        ("m.K = 3\ndef f(x): return x * m.K", "m.K = 4\ndef f(x): return x * m.K"),
    ]
    for pair in pairs:
        prints = []
        for source in pair:
            names = {"np": np, "njit": njit, "m": type(os)("helpers")}
            exec(source, names)  # fixed text, from above
            prints.append(jit.fingerprint(names["f"]))
        assert prints[0] != prints[1], pair


def test_a_read_only_install_compiles_without_a_cache():
    """No folder can be written (here: the one locator allowed takes zip files only): a warning, and it runs."""
    program = (
        "import warnings\nfrom llm_envs.testing import trajectory_digest\n"
        "with warnings.catch_warnings(record=True) as told:\n    warnings.simplefilter('always')\n"
        f"    digest = trajectory_digest('{ADDITION}', 2, 30, 7)\n"
        "assert any(w.category is RuntimeWarning and 'not kept' in str(w.message) for w in told), told\nprint(digest)"
    )
    assert run(program, NUMBA_CACHE_LOCATOR_CLASSES="_ZipCacheLocator").strip() == trajectory_digest(ADDITION, 2, 30, 7)
