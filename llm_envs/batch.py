"""BatchEnv: N rows of one world on one device. Nothing else in the package keeps state.

One step, for every row:
    1. the clock advances and the world's `step` runs (an illegal action passes the turn);
    2. signals are weighted into the reward; `truncated` is decided by the time limit;
    3. where the episode is over, the true final observation goes to `final_obs` and the next episode begins;
    4. the observation is written;
    5. reward callables, if any, see the transition and add their terms.

Everything returned is a view of live buffers: copy what must outlast the next step.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from llm_envs import kernels, levels, snapshot
from llm_envs.memory import Records
from llm_envs.rng import GOLDEN, mix
from llm_envs.world import Vector, World, check_choice, check_range, record, values

if TYPE_CHECKING:
    import torch


class Step(NamedTuple):
    """What one step leaves: views of live buffers, NumPy arrays or torch tensors."""

    obs: dict  # (N, ...) each; of the next episode where one ended
    reward: Any  # (N,) float32
    terminated: Any  # (N,) bool: the task itself ended
    truncated: Any  # (N,) bool: the time limit was reached; both may hold
    final_obs: dict  # (N, ...) each; meant only where an episode ended in this step
    signals: dict  # (N,) float32 each: the unweighted terms by name


class BatchEnv:
    """See the module. `world` is a built World; users make one by `llm_envs.make_batch(id, num_envs, ...)`.

    Args:
        num_envs: rows, N.
        device: "cpu", "cuda" or "cuda:0", ...
        seed: row i draws what a single environment seeded `seed + i` draws (with order="random", group_size=1).
        split: "train", "validation", "test" or "all"; None for "train", or "all" with levels of your own.
        order: "random", or "sweep" to visit each level once: episode k of row i has level i + k * N.
        group_size: so many consecutive rows have the same level in their k-th episodes; it must divide num_envs.
        weights: reward weights by signal name, over the world's defaults.
        rewards: further terms, see `llm_envs.rewards`.
        threads: CPU threads; None for one below 1,024 rows and all above.
        check_actions: refuse illegal actions; None for True on the CPU. Without it they pass the turn.
        autoreset: begin the next episode in the step that ended one.
    """

    def __init__(
        self,
        world: World,
        num_envs: int,
        *,
        device: str = "cpu",
        seed: int = 0,
        split: str | None = None,
        order: str = "random",
        group_size: int = 1,
        weights: Mapping[str, float] | None = None,
        rewards: Iterable = (),
        threads: int | None = None,
        check_actions: bool | None = None,
        autoreset: bool = True,
        identity: str = "world",
    ) -> None:
        check_range("num_envs", num_envs, 1, 2**31 - 1)
        check_range("group_size", group_size, 1, num_envs)
        check_choice("order", order, levels.ORDERS)
        check_seed(seed)
        if num_envs % group_size:
            raise ValueError(f"group_size is {group_size}; it must divide num_envs, {num_envs}")
        if threads is not None:
            check_range("threads", threads, 1, kernels.config.NUMBA_NUM_THREADS)
        self.world, self.num_envs, self.identity = world, num_envs, identity
        self.device, self.seed, self.order, self.group_size = str(device), int(seed), order, group_size
        self.weights = merge_weights(world, weights)
        pool = levels.select(world, split)
        self.num_levels = len(pool)
        setup = values(
            kernels.setup_record(world),
            params=world.params[0],
            weights=list(self.weights.values()),
            num_actions=0 if isinstance(world.actions, Vector) else world.actions,
            num_levels=len(pool),
            stride=num_envs // group_size if order == "sweep" else 0,
            max_steps=world.max_steps,
            autoreset=autoreset,
            low=world.actions.low if isinstance(world.actions, Vector) else 0.0,
            high=world.actions.high if isinstance(world.actions, Vector) else 0.0,
        )
        self._use_device(threads)
        make = self._make_records
        self._setup, self._levels = make(1, setup.dtype), make(len(pool), pool.dtype)
        self._setup.write(setup)
        self._levels.write(pool)
        self._states, self._outcomes = make(num_envs, world.state), make(num_envs, kernels.outcome_record(world))
        self._observations = make(num_envs, world.observation, columns=True)
        self._finals = make(num_envs, world.observation, columns=True)
        self._actions = make(num_envs, action_record(world))
        self._check_actions = self.device == "cpu" if check_actions is None else check_actions
        self._bind()
        self._started, self._views = False, {}
        self._terms, self._term_values = (), {}
        rewards = tuple(rewards)
        if rewards:
            self._add_rewards(rewards)

    def _use_device(self, threads: int | None) -> None:
        """Choose where records live and what drives them."""
        self._threads = 1
        if self.device != "cpu":
            from llm_envs import cuda

            cuda.require(self.device)
            self._make_records = cuda.records_on(self.device)
            self._start_rows, self._step_rows = cuda.drivers(self.world, self.device)
            self._region = nullcontext
            return
        self._make_records = Records
        if threads is None:
            threads = kernels.config.NUMBA_NUM_THREADS if self.num_envs >= kernels.PARALLEL_FROM else 1
        self._threads = threads
        self._start_rows, self._step_rows = kernels.cpu_drivers(self.world, parallel=threads > 1)
        self._region = (lambda: kernels.parallel_region(threads)) if threads > 1 else nullcontext
        if kernels.plain_python():
            self._region = lambda: np.errstate(over="ignore")  # the generator's products overflow by design

    def _bind(self) -> None:
        """Bind the drivers' arguments once: looking them up costs more than a step of one row."""
        actions = self._actions.records
        if isinstance(self.world.actions, int):
            actions = actions["index"]
        self._start_arguments = tuple(b.records for b in (self._setup, self._levels, self._states, self._observations))
        self._step_arguments = (*self._start_arguments, self._finals.records, actions, self._outcomes.records)
        self._serial = self._region is nullcontext

    def _add_rewards(self, rewards: tuple) -> None:
        """Take reward callables; only now is torch needed."""
        import torch

        from llm_envs.rewards import as_terms

        self._terms = as_terms(rewards, self.world.signals)
        self._term_values = {t.name: torch.zeros(self.num_envs, device=self.device) for t in self._terms}

    # ------------------------------------------------------------------ what is seen

    def _step_view(self, kind: str) -> Step:
        """Return (and keep) the Step whose entries are views of kind "arrays" or "tensors"."""
        if kind not in self._views:
            outcome = getattr(self._outcomes, kind)
            signals = {name: outcome["values"][:, k] for k, name in enumerate(self.world.signals)}
            terms = self._term_values
            signals |= terms if kind == "tensors" else {name: value.numpy() for name, value in terms.items()}
            flags = (outcome["reward"], outcome["terminated"], outcome["truncated"])
            self._views[kind] = Step(
                getattr(self._observations, kind), *flags, getattr(self._finals, kind), signals
            )
        return self._views[kind]

    @property
    def arrays(self) -> Step:
        """The last step as NumPy views (CPU only; imports no torch)."""
        return self._step_view("arrays")

    @property
    def tensors(self) -> Step:
        """The last step as torch views."""
        return self._step_view("tensors")

    @property
    def level_index(self) -> np.ndarray:
        """Which of the split's `num_levels` levels each row plays, (N,) int32, a copy on the host."""
        return self._state_field("level")

    @property
    def episode(self) -> np.ndarray:
        """How many episodes each row has begun since it was seeded, less one, (N,) int32, a copy on the host."""
        return self._state_field("episode")

    def _state_field(self, name: str) -> np.ndarray:
        return np.frombuffer(self._states.read(), self.world.state)[name].copy()

    # ------------------------------------------------------------------ what is done

    def reset(self, seed: int | None = None) -> dict[str, "torch.Tensor"]:
        """Begin a new episode in every row and return the observations; `seed` None goes on with the generators."""
        self.restart(seed)
        return self.tensors.obs

    def step(self, actions: Any) -> Step:
        """Step every row by `actions`: a tensor or array, (N,) integers or (N, *shape) floats.

        Raises:
            RuntimeError: before the first reset.
            ValueError: actions of the wrong dtype, shape or range; no row has moved.
        """
        self.advance(actions)
        return self.tensors

    def restart(self, seed: int | None = None) -> None:
        """`reset` without its views."""
        if seed is not None:
            check_seed(seed)
            self.seed = int(seed)
        if seed is not None or not self._started:
            self._states.write(self._seeded(self.seed))
        self._run(self._start_rows, self._start_arguments)
        self._started = True

    def _seeded(self, seed: int) -> np.ndarray:
        """Return states that hold nothing but their generators."""
        states = np.zeros(self.num_envs, self.world.state)
        rows = np.arange(self.num_envs, dtype=np.uint64)
        groups = rows // np.uint64(self.group_size)
        mixer = getattr(mix, "py_func", mix)
        with np.errstate(over="ignore"):
            states["rng"] = mixer(mixer(rows + np.uint64(seed)) ^ GOLDEN)
            if self.order == "sweep":
                states["stream"] = (groups + np.uint64(seed)) % np.uint64(self.num_levels)
            else:
                states["stream"] = mixer(groups * np.uint64(self.group_size) + np.uint64(seed) + GOLDEN)
        states["episode"] = -1
        return states

    def advance(self, actions: Any) -> None:
        """`step` without its views: read `arrays` or `tensors` after it."""
        if not self._started:
            raise RuntimeError("reset() must be called before the first step")
        self._actions_in(actions)
        if self._terms:
            self._advance_with_rewards()
        elif self._serial:
            self._step_rows(*self._step_arguments)
        else:
            self._run(self._step_rows, self._step_arguments)

    def _run(self, driver: Any, arguments: tuple) -> None:
        """Call a driver in its region; in the child of a fork, where threads are lost, change to one thread."""
        if not kernels.parallel_allowed() and self._threads > 1:
            self._use_device(threads=1)
            driver = self._start_rows if arguments is self._start_arguments else self._step_rows
        with self._region():
            driver(*arguments)

    def _actions_in(self, actions: Any) -> None:
        """Check actions and copy them to where the rules read them."""
        name = "index" if isinstance(self.world.actions, int) else "vector"
        if self.device != "cpu":
            target = self._actions.tensors[name]
            if self._check_actions:
                check_actions(self.world, np.asarray(actions.cpu()), target.shape)
            target.copy_(actions.to(target.dtype).view(target.shape))
            return
        target = self._actions.arrays[name]
        given = np.asarray(actions)
        if self._check_actions:
            check_actions(self.world, given, target.shape)
        target[...] = given

    def _advance_with_rewards(self) -> None:
        """Step, then add each callable's term; if one raises, put everything back and let it through."""
        from llm_envs.rewards import Transition

        buffers = (self._states, self._observations, self._finals, self._outcomes)
        saved = [buffer.read() for buffer in buffers]
        now = self.tensors
        before = {name: value.clone() for name, value in now.obs.items()}
        terms = {name: value.clone() for name, value in self._term_values.items()}
        try:
            self._run(self._step_rows, self._step_arguments)
            done = now.terminated | now.truncated
            obs = {k: v.where(~done.view(-1, *[1] * (v.ndim - 1)), now.final_obs[k]) for k, v in now.obs.items()}
            signals = {name: now.signals[name] for name in self.world.signals}
            action = next(iter(self._actions.tensors.values()))
            whole = Transition(before, action, obs, now.terminated, now.truncated, signals, self.decode)
            for term in self._terms:
                target = self._term_values[term.name]
                target.zero_()
                if not term.at_end:
                    target.copy_(term(whole))
                elif bool(done.any()):
                    target[done] = term(whole.rows(done))
                now.reward.add_(target.nan_to_num(0.0), alpha=term.weight)
        except BaseException:
            for buffer, raw in zip(buffers, saved, strict=True):
                buffer.write(raw)
            for name, value in terms.items():
                self._term_values[name].copy_(value)
            raise

    # ------------------------------------------------------------------ saving, showing

    def _header(self) -> dict:
        """What a snapshot must agree with."""
        world = self.world
        layout = repr((world.state, world.observation)) + kernels.fingerprint(world.reset) + kernels.fingerprint(world.step)
        return {
            "world": self.identity.partition(" ")[0],
            "configuration": self.identity.partition(" ")[2],
            "layout": zlib.crc32(layout.encode()),
            "levels": zlib.crc32(self._levels.read()),
            "params": zlib.crc32(world.params.tobytes()),
            "num_envs": self.num_envs,
            "order": self.order,
            "group_size": self.group_size,
            "max_steps": world.max_steps,
        }

    def snapshot(self) -> bytes:
        """Return the whole batch as bytes; a batch restored from them goes on bit by bit as this one would."""
        if not self._started:
            raise RuntimeError("reset() must be called before snapshot()")
        parts = (self._states, self._observations)
        return snapshot.pack(self._header(), [part.read() for part in parts])

    def restore(self, saved: bytes) -> None:
        """Take up a snapshot of the same world, configuration, pool and number of rows.

        Raises:
            ValueError: it is damaged or of another batch, and says in what; nothing has changed.
        """
        parts = (self._states, self._observations)
        found = snapshot.unpack(saved, self._header(), [self.num_envs * part.kind.itemsize for part in parts])
        level = np.frombuffer(found[0], self.world.state)["level"]
        if level.min() < 0 or level.max() >= self.num_levels:
            raise ValueError(f"the snapshot plays levels {level.min()} to {level.max()} of {self.num_levels}")
        for part, raw in zip(parts, found, strict=True):
            part.write(raw)
        self._started = True

    def decode(self, obs: Mapping[str, Any]) -> list[str]:
        """Return observations, (M, ...) arrays or tensors, as M texts."""
        host = {name: np.asarray(value.cpu() if hasattr(value, "cpu") else value) for name, value in obs.items()}
        count = len(next(iter(host.values())))
        return [self._decode_row({name: value[i] for name, value in host.items()}) for i in range(count)]

    def _decode_row(self, obs: Mapping[str, np.ndarray]) -> str:
        world = self.world
        if world.decode is not None:
            return world.decode(obs)
        if world.tokenizer is not None:
            return world.tokenizer.decode(obs["tokens"][: int(obs["length"][0])].tolist(), skip_special_tokens=False)
        return ", ".join(f"{name} {value.tolist()}" for name, value in obs.items())

    def row(self, i: int) -> tuple[Any, Any, Any]:
        """Return copies of row i's state, level and params, as records with attributes."""
        state = self._states.row(i)
        return state, self._levels.row(int(state.level)), self._setup.row(0).params

    def render(self, row: int = 0) -> str:
        """Return row `row` as text for a terminal."""
        check_range("row", row, 0, self.num_envs - 1)
        if self.world.render is not None:
            return self.world.render(*self.row(row))
        return self._decode_row({name: value[row] for name, value in self._host_obs().items()})

    def _host_obs(self) -> dict[str, np.ndarray]:
        if self.device == "cpu":
            return self.arrays.obs
        return {name: value.cpu().numpy() for name, value in self.tensors.obs.items()}

    def frame(self, row: int = 0) -> np.ndarray:
        """Return row `row` as an image, (height, width, 3) uint8; ValueError where the world draws none."""
        if self.world.frame is None:
            raise ValueError(f"{self.identity.partition(' ')[0]} has no image; render_mode 'ansi' shows it as text")
        return self.world.frame(*self.row(row))

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool; all of them in a world without `action_mask`."""
        if not isinstance(self.world.actions, int):
            raise ValueError("only discrete actions have masks")
        obs = self._host_obs()
        if "action_mask" in obs:
            return obs["action_mask"].astype(bool)
        return np.ones((self.num_envs, self.world.actions), bool)


def action_record(world: World) -> np.dtype:
    """Return the record that holds one action."""
    if isinstance(world.actions, int):
        return record(index=np.int64)
    return record(vector=(np.float32, world.actions.shape))


def check_seed(seed: Any) -> None:
    """Raise unless `seed` is an integer from 0 to 2^63 - 1."""
    check_range("seed", seed, 0, 2**63 - 1)


def check_actions(world: World, actions: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError for actions of the wrong dtype, shape or range."""
    discrete = isinstance(world.actions, int)
    kinds, wanted = ("iu", "integers") if discrete else ("f", "floats")
    if actions.dtype.kind not in kinds:
        raise ValueError(f"actions have dtype {actions.dtype}; they must be {wanted}")
    if actions.shape != tuple(shape):
        raise ValueError(f"actions have shape {actions.shape}; it must be {tuple(shape)}")
    low, high = (0, world.actions - 1) if discrete else (world.actions.low, world.actions.high)
    least, most = actions.min(), actions.max()
    if not (least >= low and most <= high):  # NaN fails too
        raise ValueError(f"actions reach from {least} to {most}; they must be from {low} to {high}")


def merge_weights(world: World, weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the weight of every signal: the world's defaults, overridden by `weights`."""
    for name, weight in (weights or {}).items():
        if name not in world.signals:
            raise ValueError(f"there is no signal {name!r}; the signals are {', '.join(world.signals)}")
        if not np.isfinite(weight):
            raise ValueError(f"the weight of {name!r} is {weight}; it must be finite")
    return {**world.signals, **(weights or {})}


def describe(world_id: str, config: Mapping[str, Any]) -> str:
    """Return a world's identity for snapshots: its id and its configuration (levels have a checksum of their own)."""
    plain = {name: value for name, value in config.items() if isinstance(value, (int, float, str, bool, type(None)))}
    return f"{world_id} {json.dumps(plain, sort_keys=True)}"
