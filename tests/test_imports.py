"""What an import costs, what Gymnasium finds by itself, the public names, and the direction of imports."""

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from worlds import DISTINCT

import llm_envs

ROOT = Path(llm_envs.__file__).parent.parent


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


PUBLIC = {  # module -> names that scripts outside the repository use
    "llm_envs": "ids make_batch register",
    "llm_envs.registration": "build find ids make_batch register",
    "llm_envs.adapters.gym": "GymEnv GymVectorEnv make_single make_vector",
    "llm_envs.adapters.sb3": "TensorVecEnv",
    "llm_envs.testing": "check_world trajectory_digest",
    "llm_envs.batch": "BatchEnv Step",
    "llm_envs.rewards": "Reward Transition",
    "llm_envs.world": "World Vector record state_record values check_range check_choice check_switch",
    "llm_envs.text.solve": "solve",
    "llm_envs.text.export": "export",
    "llm_envs.text.textworld": "load",
    "llm_envs.text.story": "load_story story",
    "llm_envs.text.cooking": "cooking",
    "llm_envs.text.family": "games_world text_game made",
    "agents": "PPO A2C TRPO REINFORCE RLOO GRPO TransformerPolicy evaluate generate warm_start",
    "agents.policies": "TransformerPolicy",
    "agents.kl": "k1 k2 k3 full",
    "agents.generation": "generate",
    "agents.reward_model": "RewardModel fit",
    "agents.preferences": "preference_pairs",
    "agents.backbones": "Backbone make_backbone",
    "agents.train": "main train",
    "agents.evaluate": "evaluate",
    "agents.sweep": "main sweep",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_importable(module):
    found = importlib.import_module(module)
    assert [name for name in PUBLIC[module].split() if not hasattr(found, name)] == []


def test_evaluate_is_a_function_after_every_import():
    """`python -m agents.evaluate` is a package of the same name; importing it must not hide the function."""
    import agents

    importlib.import_module("agents.evaluate.__main__")
    assert callable(agents.evaluate)


# ---------------------------------------------------------------------- directions

# Each folder or module and what it may import besides itself, types-only imports included.
ROOT_MODULES = "llm_envs.world llm_envs.rng llm_envs.vocabulary llm_envs.validation llm_envs.rewards"
FAMILY = f"{ROOT_MODULES} llm_envs.engine.jit llm_envs.engine.transcript"  # what every family of worlds may know
TEXT = ["model", "records", "language", "rules", "compiler", "parser", "solver", "interface", "games"]  # lowest first


def text_below(room: str) -> str:
    return " ".join(f"llm_envs.text.{other}" for other in TEXT[: TEXT.index(room)])


ALLOWED = {
    "llm_envs.validation": "",
    "llm_envs.rng": "",
    "llm_envs.vocabulary": "llm_envs.validation",
    "llm_envs.world": "llm_envs.validation",
    "llm_envs.rewards": "llm_envs.validation",
    "llm_envs.registration": "llm_envs.world llm_envs.validation llm_envs.engine",
    "llm_envs.engine": ROOT_MODULES,
    "llm_envs.adapters": f"{ROOT_MODULES} llm_envs.engine llm_envs.registration",
    "llm_envs.testing": f"{ROOT_MODULES} llm_envs.engine llm_envs.registration llm_envs.adapters",
    "llm_envs.cli": "llm_envs",
    "llm_envs.tokens.tasks": FAMILY,
    "llm_envs.navigation.grid": FAMILY,
    "llm_envs.navigation.tasks": f"{FAMILY} llm_envs.navigation.grid",
    "llm_envs.navigation.plane": FAMILY,
    **{f"llm_envs.text.{room}": f"{FAMILY} {text_below(room)}" for room in TEXT},
    "llm_envs.text.authoring": f"{FAMILY} llm_envs.text.model",
    "llm_envs.text.formats": f"{FAMILY} llm_envs.text.model llm_envs.text.authoring",
    "agents.backbones": "llm_envs.vocabulary",
    "agents.objectives": "llm_envs.validation",
    "agents.distributed": "",
}
ALLOWED["llm_envs.text.games"] += " llm_envs.text.authoring llm_envs.text.formats"
PUBLIC_LLM_ENVS = f"{ROOT_MODULES} llm_envs.registration llm_envs.engine llm_envs.adapters"
LOW = "agents.backbones agents.objectives agents.distributed"
ALLOWED |= {
    "agents.policies": f"{PUBLIC_LLM_ENVS} {LOW}",
    "agents.rollouts": f"{PUBLIC_LLM_ENVS} {LOW} agents.policies",
    "agents.algorithms": f"{PUBLIC_LLM_ENVS} {LOW} agents.policies agents.rollouts",
    "agents.evaluation": f"{PUBLIC_LLM_ENVS} {LOW} agents.policies",
    "agents.supervised": f"{PUBLIC_LLM_ENVS} {LOW} agents.policies agents.evaluation llm_envs.make_batch",
    "agents.jobs": "llm_envs agents",
}
# Public doors: modules that only pass on names from the rooms.
DOORS = {"llm_envs.batch", "agents.train", "agents.sweep", "agents.evaluate", "agents.kl", "agents.generation"}
DOORS |= {"agents.preferences", "agents.reward_model", "llm_envs", "agents"}
DOORS |= {f"llm_envs.text.{name}" for name in ("solve", "export", "textworld", "family", "cooking", "story")}
LATE = {("llm_envs.registration", "llm_envs.engine")}  # only inside functions or for types: `import llm_envs` is light


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)


def room_of(module: str) -> str:
    """Return the entry of ALLOWED that a module belongs to, the longest one that leads to it."""
    return max((room for room in ALLOWED if f"{module}.".startswith(f"{room}.")), key=len, default="")


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Return (what is imported of the project, whether in a function or for types alone) for each import of a file."""
    found = []

    def visit(node: ast.AST, late: bool) -> None:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found.extend((name, late) for name in names if name.partition(".")[0] in ("llm_envs", "agents"))
        types_only = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        late = late or types_only or isinstance(node, (ast.FunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, late)

    visit(ast.parse(path.read_text()), late=False)
    return tuple(found)


FILES = sorted(path for package in ("llm_envs", "agents") for path in (ROOT / package).rglob("*.py"))
MODULES = {module_of(path): path for path in FILES}


def target_of(name: str) -> str:
    """Return the module that an imported name stands in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path):
    """A room knows the rooms below it and no other; the table above is the architecture."""
    module = module_of(path)
    if module in DOORS or (path.name == "__init__.py" and not imports(path)):
        return
    room = room_of(module)
    assert room, f"say in ALLOWED what {module} may import"
    for name, late in imports(path):
        target = target_of(name)
        below = [other for other in ALLOWED[room].split() if f"{target}.".startswith(f"{other}.") or name == other]
        assert below or f"{target}.".startswith(f"{room}."), f"{module} imports {name}, which is not below it"
        assert late or (room, below[0] if below else "") not in LATE, f"{module} must import {name} in a function"


def test_no_import_is_circular():
    """Between modules, types-only imports and those inside functions included."""
    edges = {
        module: {target_of(name) for name, _ in imports(path)} - {module}
        for module, path in MODULES.items()
        if module not in DOORS and path.name != "__init__.py"
    }
    edges = {module: targets & set(edges) for module, targets in edges.items()}
    while edges:
        lowest = [module for module, above in edges.items() if not above & set(edges)]
        assert lowest, f"a circle among {sorted(edges)}"
        for module in lowest:
            del edges[module]


def test_folders_and_files_are_small():
    """A folder has at most 16 modules, a file at most 300 lines: one subject each."""
    folders = {path.parent for path in FILES}
    crowded = {str(f): n for f in folders if (n := sum(p.name != "__init__.py" for p in f.glob("*.py"))) > 16}
    long = {str(path): n for path in FILES if (n := path.read_text().count("\n")) > 300}
    assert (crowded, long) == ({}, {})


def test_test_files_have_names_of_their_own():
    """Pytest imports a test file by its name alone: of two with one name it collects the first."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert not {name for name in names if names.count(name) > 1}
