"""What an import costs, what Gymnasium finds by itself, and that imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import DISTINCT

import llm_envs

PACKAGE = Path(llm_envs.__file__).parent


def run(program: str) -> str:
    """Run a program in a fresh interpreter and return its output."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def loaded(program: str, *modules: str) -> list[str]:
    """Return which of `modules` are loaded after the program ran."""
    return run(f"import sys\n{program}\nprint(*[name for name in {modules!r} if name in sys.modules])").split()


def test_importing_the_package_is_light():
    assert loaded("import llm_envs", "torch", "numba", "stable_baselines3", "tokenizers") == []


def test_making_and_stepping_worlds_needs_no_torch():
    """Importing torch takes longer than a short experiment on one environment; of worlds with the same rules one."""
    program = (
        f"import gymnasium as gym, llm_envs\nfor world_id in {DISTINCT}:\n    env = gym.make(world_id)\n"
        "    env.reset(seed=0)\n    env.step(env.action_space.sample())\n    envs = gym.make_vec(world_id, 2)\n"
        "    envs.reset(seed=0)\n    envs.step(envs.action_space.sample())\n"
    )
    assert loaded(program, "torch", "stable_baselines3", "numba") == ["numba"]


def test_the_gymnasium_view_needs_no_stable_baselines():
    assert loaded("import llm_envs.adapters.gym", "stable_baselines3", "torch") == []


def test_the_entry_point_registers_every_id():
    """Gymnasium 1.0 stopped loading this group by itself; other loaders, and older scripts, still read it."""
    program = (
        "from importlib.metadata import entry_points\nimport gymnasium as gym\n"
        "(point,) = [p for p in entry_points(group='gymnasium.envs') if p.value.startswith('llm_envs.')]\n"
        "point.load()()\nprint(*gym.registry)"
    )
    assert set(llm_envs.ids()) <= set(run(program).split())


def test_gym_make_imports_the_package_that_an_id_names():
    program = (
        "import gymnasium as gym\nenv = gym.make('llm_envs:Tokens/Addition-v0')\nprint(env.reset(seed=0)[0]['length'])"
    )
    assert run(program).startswith("[")


# ---------------------------------------------------------------------- directions

# Which modules of llm_envs each may import. Anything in a later line may import from the lines it names.
ALLOWED = {
    "rng": set(),
    "world": {"rng"},
    "jit": set(),
    "spaces": {"world"},
    "checks": {"world"},
    "registration": {"world", "batch", "checks"},  # batch only when something is made
    "levels": {"rng", "world"},
    "kernels": {"jit", "rng", "world"},
    "memory": {"jit"},
    "snapshot": {"jit", "batch"},  # batch for its type alone, as in rewards
    "rewards": {"batch"},
    "cuda": {"jit", "kernels", "memory", "rng", "world"},
    "showing": {"memory", "world"},  # memory for its type alone
    "batch": {"jit", "kernels", "levels", "snapshot", "memory", "rewards", "checks", "showing", "world", "cuda"},
    "adapters": {"batch", "registration", "showing", "spaces", "world", "adapters", "checks"},
    "walks": {"adapters", "batch", "checks", "registration", "world"},
    "contract": {"adapters", "batch", "registration", "spaces", "walks"},
    "testing": {"contract", "registration", "walks"},
    "vocabulary": set(),
    "play": {"adapters", "checks", "registration", "text", "world"},
    "arguments": set(),
    "cli": {"adapters", "arguments", "checks", "levels", "play", "registration", "spaces", "testing", "walks", "world"},
    "__init__": {"registration"},
}
FAMILIES = ("tokens", "text", "navigation")
TYPES_ONLY = {
    ("snapshot", "batch"),
    ("rewards", "batch"),
    ("spaces", "world"),
    ("registration", "world"),
    ("showing", "memory"),
}
WHEN_MADE = {("registration", "batch"), ("registration", "checks"), ("batch", "rewards"), ("batch", "cuda")}


def imports(path: Path) -> list[tuple[str, bool, bool]]:
    """Return (module of the project, inside a function, for types alone) for each import of a file."""
    found = []

    def visit(node: ast.AST, late: bool, types: bool) -> None:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found.extend((name, late, types) for name in names if name.partition(".")[0] in ("llm_envs", "agents"))
        late = late or isinstance(node, (ast.FunctionDef, ast.Lambda))
        types = types or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            visit(child, late, types)

    visit(ast.parse(path.read_text()), late=False, types=False)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """Adapters know the batch, the batch the kernels, those the rules' records; worlds know none of that."""
    part, *rest = path.relative_to(PACKAGE).with_suffix("").parts
    for name, late, types in imports(path):
        root, _, target = name.partition(".")
        assert root == "llm_envs", f"{path.name} imports {name}; llm_envs never imports agents"
        target = target.partition(".")[0]
        if part in FAMILIES:
            assert target in ("jit", "world", "rng", "vocabulary", part), name
        else:
            assert target in ALLOWED[part], f"{path.name} imports {name}, which is not below it"
        assert types or (part, target) not in TYPES_ONLY, f"{path.name} may import {name} for type checkers only"
        assert late or types or (part, target) not in WHEN_MADE, f"{path.name} must import {name} in a function"
    assert rest or part in {*ALLOWED, *FAMILIES}, f"say in ALLOWED what {path.name} may import"


def test_no_import_is_circular():
    """Of what is imported when a module is loaded: the lines of ALLOWED must have an order."""
    edges = {part: set() for part in ALLOWED}
    for path in FILES:
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part in ALLOWED:
            targets = {name.split(".")[1] for name, late, types in imports(path) if not late and not types}
            edges[part] |= targets & set(ALLOWED) - {part}
    while edges:
        lowest = [part for part, above in edges.items() if not above & set(edges)]
        assert lowest, f"a circle among {sorted(edges)}"
        for part in lowest:
            del edges[part]
