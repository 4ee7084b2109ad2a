"""BatchEnv: N rows of one world on one device. Nothing else in the package keeps state.

One step, for every row:
    1. the clock advances and the world's `step` runs (an illegal action passes the turn);
    2. signals are weighted into the reward; `truncated` is decided by the time limit;
    3. where the episode is over, the true final observation goes to `final_obs` and the next episode begins (with
       autoreset="same_step", the default);
    4. the observation is written;
    5. reward callables, if any, see the transition and add their terms.

Everything returned is a view of live buffers: copy what must outlast the next step.
"""

import zlib
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config

from llm_envs.engine import jit, kernels, levels, snapshot
from llm_envs.engine.actions import check_actions, is_text, merge_weights
from llm_envs.engine.host_view import Showing, Step
from llm_envs.engine.records import Records
from llm_envs.validation import check_choice, check_range, check_seed
from llm_envs.world import Vector, World, values

if TYPE_CHECKING:
    import torch


class BatchEnv(Showing):
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
        autoreset: "same_step" begins the next episode in the step that ended one, "next_step" in the step after it
            (whose action is ignored and whose reward is 0), "never" leaves that to `reset`.
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
        autoreset: str = "same_step",
        identity: str = "world",
    ) -> None:
        check_range("num_envs", num_envs, 1, 2**31 - 1)
        check_range("group_size", group_size, 1, num_envs)
        check_choice("order", order, levels.ORDERS)
        check_choice("autoreset", autoreset, kernels.AUTORESETS)
        check_seed(seed)
        if num_envs % group_size:
            raise ValueError(f"group_size is {group_size}; it must divide num_envs, {num_envs}")
        if threads is not None:
            check_range("threads", threads, 1, config.NUMBA_NUM_THREADS)
        self.world, self.num_envs, self.identity = world, num_envs, identity
        self.device, self.seed, self.order, self.group_size = str(device), int(seed), order, group_size
        self.autoreset = autoreset
        self.weights = merge_weights(world, weights)
        pool = levels.select(world, split)
        self.num_levels, self.pool_checksum = len(pool), zlib.crc32(pool.tobytes())
        setup = values(
            kernels.setup_record(world),
            params=world.params[0],
            weights=list(self.weights.values()),
            num_actions=0 if isinstance(world.actions, Vector) else world.actions,
            num_levels=len(pool),
            stride=num_envs // group_size if order == "sweep" else 0,
            max_steps=world.max_steps,
            autoreset=kernels.AUTORESETS.index(autoreset),
            low=world.actions.low if isinstance(world.actions, Vector) else 0.0,
            high=world.actions.high if isinstance(world.actions, Vector) else 0.0,
        )
        self._make_records: Any
        self._region: Any
        self._use_device(threads)
        make = self._make_records
        self._setup, self._levels = make(1, setup.dtype), make(len(pool), pool.dtype)
        self._setup.write(setup)
        self._levels.write(pool)
        self._states, self._outcomes = make(num_envs, world.state), make(num_envs, kernels.outcome_record(world))
        self._observations = make(num_envs, world.observation, columns=True)
        self._finals = make(num_envs, world.observation, columns=True)
        self._actions = make(num_envs, kernels.action_record(world))
        self._action_field = "index" if isinstance(world.actions, int) else "vector"
        self._check_actions = self._on_host if check_actions is None else check_actions
        self._bind()
        self._started = False
        self._views: dict[str, Step] = {}
        self._terms, rewards = None, tuple(rewards)
        if rewards:  # only now is torch needed
            from llm_envs.engine.reward_terms import RewardTerms

            self._terms = RewardTerms(rewards, self)

    def _use_device(self, threads: int | None) -> None:
        """Choose where records live and what drives them."""
        self._threads, self._on_host = 1, self.device == "cpu"
        if not self._on_host:
            from llm_envs.engine import cuda

            cuda.require(self.device)
            self._make_records = cuda.records_on(self.device)
            self._start_rows, self._step_rows = cuda.drivers(self.world, self.device)
            self.device = cuda.torch_device(self.device)  # with its number; "cpu" in Numba's simulator
            self._region = nullcontext
            return
        self._make_records = Records
        if threads is None:
            threads = config.NUMBA_NUM_THREADS if self.num_envs >= kernels.PARALLEL_FROM else 1
        self._threads = threads
        self._start_rows, self._step_rows = kernels.cpu_drivers(self.world, parallel=threads > 1)
        self._region = (lambda: kernels.parallel_region(threads)) if threads > 1 else nullcontext
        if jit.plain_python():
            self._region = lambda: np.errstate(over="ignore")  # the generator's products overflow by design

    def _bind(self) -> None:
        """Bind the drivers' arguments once: looking them up costs more than a step of one row."""
        actions = self._actions.records
        if isinstance(self.world.actions, int):
            actions = actions.view(np.int64)
        self._start_arguments = tuple(b.records for b in (self._setup, self._levels, self._states, self._observations))
        shown, finals = self._observations.words, self._finals.words
        self._step_arguments = (*self._start_arguments, shown, finals, actions, self._outcomes.records)
        self._serial = self._region is nullcontext

    # ------------------------------------------------------------------ what is seen

    def _step_view(self, kind: str) -> Step:
        """Return (and keep) the Step whose entries are views of kind "arrays" or "tensors"."""
        if kind not in self._views:
            outcome = getattr(self._outcomes, kind)
            signals = {name: outcome["values"][:, k] for k, name in enumerate(self.world.signals)}
            terms = self._terms.values if self._terms else {}
            signals |= terms if kind == "tensors" else {name: value.numpy() for name, value in terms.items()}
            flags = (outcome["reward"], outcome["terminated"], outcome["truncated"])
            self._views[kind] = Step(getattr(self._observations, kind), *flags, getattr(self._finals, kind), signals)
        return self._views[kind]

    @property
    def arrays(self) -> Step:  # type: ignore[override]
        """The last step as NumPy views (CPU only; imports no torch)."""
        return self._step_view("arrays")

    @property
    def tensors(self) -> Step:  # type: ignore[override]
        """The last step as torch views."""
        return self._step_view("tensors")

    @property
    def started(self) -> bool:
        """Whether there is a state to step: reset() or restore() has been called."""
        return self._started

    @property
    def action_buffer(self) -> np.ndarray:
        """Where `apply` reads the actions, (N,) int64 or (N, *shape) float32 (CPU only)."""
        return self._actions.arrays[self._action_field]

    # ------------------------------------------------------------------ what is done

    def reset(self, seed: int | None = None) -> dict[str, "torch.Tensor"]:
        """Begin a new episode in every row and return the observations; `seed` None goes on with the generators."""
        self.restart(seed)
        return self.tensors.obs

    def step(self, actions: Any) -> Step:
        """Step every row by `actions`: a tensor or array, (N,) integers or (N, *shape) floats; or a list of N texts.

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
            rows = (self.num_envs, self.group_size, self.order, self.num_levels)
            self._states.write(levels.seeded_states(self.world.state, self.seed, *rows))
        self._run(self._start_rows, self._start_arguments)
        self._started = True

    def align_groups(self) -> None:
        """Let the next `restart` give the rows of a group the same level, though some have played more episodes."""
        episode = self._states.tensors["episode"].view(-1, self.group_size)
        episode.copy_(episode.amax(dim=1, keepdim=True).expand_as(episode))

    def advance(self, actions: Any) -> None:
        """`step` without its views: read `arrays` or `tensors` after it."""
        if not self._started:
            raise RuntimeError("reset() must be called before the first step")
        if is_text(actions):
            actions = self.parse(actions)
        if self._on_host:
            target, given = self._actions.arrays[self._action_field], np.asarray(actions)
            if self._check_actions:
                check_actions(self.world, given, target.shape)
            target[...] = given
        else:
            import torch

            goal, sent = self.last_action, torch.as_tensor(actions, device=self.device)
            if self._check_actions:
                check_actions(self.world, sent.cpu().numpy(), goal.shape)
            goal.copy_(sent.view(goal.shape))
        self.apply()

    def apply(self) -> None:
        """Step every row by the actions that stand in the action buffer."""
        if self._terms is not None:
            self._terms.step(self)
        elif self._serial:
            self._step_rows(*self._step_arguments)
        else:
            self.run_rules()

    def run_rules(self) -> None:
        """Run the kernel alone: a step without the reward callables."""
        self._run(self._step_rows, self._step_arguments)

    def _run(self, driver: Any, arguments: tuple) -> None:
        """Call a driver in its region; in the child of a fork, where threads are lost, change to one thread."""
        if not kernels.parallel_allowed() and self._threads > 1:
            self._use_device(threads=1)
            driver = self._start_rows if arguments is self._start_arguments else self._step_rows
        with self._region():
            driver(*arguments)

    @property
    def last_action(self) -> "torch.Tensor":
        """The actions of the last step, (N,) int64 or (N, *shape) float32, a live view."""
        return self._actions.tensors[self._action_field]

    # ------------------------------------------------------------------ saving, showing

    @property
    def _written(self) -> tuple:
        """The buffers that a step writes."""
        return self._states, self._observations, self._finals, self._outcomes

    def read_buffers(self) -> list[bytes]:
        """Return all that a step writes, as bytes on the host: states, observations, finals, outcomes."""
        return [buffer.read() for buffer in self._written]

    def save_buffers(self) -> list:
        """Return copies of all that a step writes, on the batch's device."""
        return [buffer.copy() for buffer in self._written]

    def load_buffers(self, saved: list) -> None:
        """Undo steps: take back what `save_buffers` returned."""
        for buffer, held in zip(self._written, saved, strict=True):
            buffer.write(held)

    def snapshot(self) -> bytes:
        """Return the whole batch as bytes; a batch restored from them goes on bit by bit as this one would."""
        if not self._started:
            raise RuntimeError("reset() must be called before snapshot()")
        parts = (self._states, self._observations)
        return snapshot.pack(snapshot.header(self), [part.read() for part in parts])

    def restore(self, saved: bytes) -> None:
        """Take up a snapshot of the same world, configuration, pool and number of rows.

        Raises:
            ValueError: it is damaged or of another batch, and says in what; nothing has changed.
        """
        parts = (self._states, self._observations)
        found = snapshot.unpack(saved, snapshot.header(self), [self.num_envs * part.kind.itemsize for part in parts])
        level = np.frombuffer(found[0], self.world.state)["level"]
        if level.min() < 0 or level.max() >= self.num_levels:
            raise ValueError(f"the snapshot plays levels {level.min()} to {level.max()} of {self.num_levels}")
        for part, raw in zip(parts, found, strict=True):
            part.write(raw)
        self._started = True
