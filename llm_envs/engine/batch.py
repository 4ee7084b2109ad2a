"""BatchEnv: N rows of one world on one device. Nothing else in the package keeps state.

One step, for every row:
    1. the clock advances, the world's `step` runs and its observation is written (an illegal action is a no-op);
    2. signals are weighted into the reward; `truncated` is decided by the time limit;
    3. where the episode is over, the observation is kept as `final_obs`, and the next episode begins and is observed
       (with autoreset="same_step", the default);
    4. reward callables, if any, see the transition and add their terms.

Everything returned is a view of live buffers: copy what must outlast the next step.
"""

import copy
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import config

from llm_envs.engine import drivers, kernels
from llm_envs.engine.actions import as_array, check_actions, check_settings, is_text, merge_weights
from llm_envs.engine.host_view import HostView, Step
from llm_envs.engine.levels import LEAVE, ORDERS, Seeds, level_requests, new_seeds, row_seeds, seeded_states, select
from llm_envs.engine.snapshot import Saved
from llm_envs.validation import check_choice, check_range
from llm_envs.world import World

if TYPE_CHECKING:
    import torch


class Identity(NamedTuple):
    """What a world was made from: its id and configuration, for snapshots, and what builds it, for pickles."""

    world_id: str = "world"
    configuration: str = "{}"  # JSON of the plain options; levels have a checksum of their own
    build: Callable[[], World] | None = None


class BatchEnv(HostView, Saved):
    """See the module. `world` is a built World; users make one by `llm_envs.make_batch(id, num_envs, ...)`.

    Args:
        num_envs: number of rows, N.
        device: "cpu", "cuda" or "cuda:0", ...
        seed: row i draws what a single environment seeded `seed + i` draws (with order="random", group_size=1).
        split: "train", "validation", "test" or "all"; None for "train", or "all" with levels of your own.
        order: "random", or "sweep" to visit each level once: episode k of row i has level i + k * N.
        group_size: this many consecutive rows have the same level in their k-th episodes; it must divide num_envs.
        weights: reward weights by signal name, over the world's defaults.
        rewards: further terms, see `llm_envs.rewards`.
        threads: CPU threads; None for one below 1,024 rows and all above.
        check_actions: refuse illegal actions; None for True on the CPU. Without it they are no-ops.
        autoreset: "same_step" begins the next episode in the step that ended one, "next_step" in the step after it
            (whose action is ignored and whose reward is 0), "never" leaves that to `reset`: ended rows stand still.

    Raises:
        ValueError, TypeError: an argument out of range or of the wrong kind.
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
        identity: Identity = Identity(),  # noqa: B008 (immutable)
    ) -> None:
        check_range("num_envs", num_envs, 1, 2**31 - 1)
        check_range("group_size", group_size, 1, num_envs)
        check_choice("order", order, ORDERS)
        check_choice("autoreset", autoreset, kernels.AUTORESETS)
        if num_envs % group_size:
            raise ValueError(f"group_size is {group_size}; it must divide num_envs, {num_envs}")
        if threads is not None:
            check_range("threads", threads, 1, config.NUMBA_NUM_THREADS)
        rewards = check_settings(split, check_actions, rewards, device)
        self.weights = merge_weights(world, weights)
        self._settings: dict[str, Any] = {  # what a copy of this batch is made with
            "device": device, "split": split, "order": order, "group_size": group_size, "weights": self.weights,
            "rewards": rewards, "threads": threads, "check_actions": check_actions, "autoreset": autoreset,
            "identity": identity,
        }  # fmt: skip
        self.world, self.num_envs, self.identity = world, num_envs, identity
        self.order, self.group_size = order, group_size
        self.autoreset = autoreset
        self._seeds = row_seeds(seed, num_envs)
        pool = select(world, split)
        self.num_levels, self.pool_checksum = len(pool), zlib.crc32(pool.tobytes())
        stride = num_envs // group_size if order == "sweep" else 0
        setup = kernels.setup_values(world, list(self.weights.values()), len(pool), stride, autoreset)
        self._on_host = str(device) == "cpu"
        self._drivers = drivers.make_drivers(world, num_envs, str(device), threads)
        self.device, make = self._drivers.device, self._drivers.make_records
        self._setup, self._levels = make(1, setup.dtype), make(len(pool), pool.dtype)
        self._setup.write(setup)
        self._levels.write(pool)
        self._states, self._outcomes = make(num_envs, world.state), make(num_envs, kernels.outcome_record(world))
        self._observations = make(num_envs, world.observation, columns=True)
        self._finals = make(num_envs, world.observation, columns=True)
        self._actions = make(num_envs, kernels.action_record(world))
        self._requests = make(num_envs, kernels.REQUEST)
        self._action_field = (self._actions.kind.names or ())[0]
        self._check_actions = self._on_host if check_actions is None else check_actions
        self._bind()
        self._started = False
        self._draws_all = False  # whether the requests of the last reset were a drawn level for every row
        self._views: dict[str, Step] = {}
        self._rows: dict[int, Any] = {}
        self._terms = None
        if rewards:  # only now is torch needed
            from llm_envs.engine.reward_terms import RewardTerms

            self._terms = RewardTerms(rewards, world.signals, num_envs, self.device)

    def _bind(self) -> None:
        """Collect the drivers' arguments once: looking them up costs more than a step of one row."""
        actions = self._actions.records
        if isinstance(self.world.actions, int):  # the rule gets the number, not a record that holds it
            actions = actions.view(np.int64)
        shared = tuple(b.records for b in (self._setup, self._levels, self._states, self._observations))
        self._reset_arguments = (*shared, self._requests.records)
        observed, finals = self._observations.words, self._finals.words
        self._step_arguments = (*shared, observed, finals, actions, self._outcomes.records)
        self._step_driver = self._drivers.step

    @property
    def started(self) -> bool:
        """Whether there is a state to step: reset() or restore() has been called."""
        return self._started

    @property
    def seed(self) -> int:
        """The seed of row 0, of the last seeded reset or of the constructor."""
        return int(self._seeds[0])

    @property
    def action_buffer(self) -> np.ndarray:
        """Where `step_rows()` reads the actions, (N,) int64, (N, *shape) float32 or (N,) records (CPU only)."""
        whole = isinstance(self.world.actions, np.dtype)
        return self._actions.records if whole else self._actions.arrays[self._action_field]

    @property
    def last_action(self) -> "torch.Tensor":
        """The actions of the last step, (N,) int64 or (N, *shape) float32, a live view; of records the first field."""
        return self._actions.tensors[self._action_field]

    # ------------------------------------------------------------------ episodes

    def reset(
        self, seed: Seeds = None, *, rows: Any = None, levels: Sequence[int | None] | None = None
    ) -> dict[str, "torch.Tensor"]:
        """Begin a new episode in every row, or in some, and return the observations, (N, ...) tensors.

        Args:
            seed: row i then draws what a single environment seeded `seed + i` draws, or with N seeds `seed[i]`; None,
                also in the list, continues a row's own stream of random numbers and levels.
            rows: (N,) bool, the rows that begin an episode; the others stay as they are. None for all of them.
            levels: (N,) indices into the split's `num_levels` levels; None (of a row: None or -1) draws them.

        Raises:
            ValueError: a seed, mask or level of the wrong shape or out of range; no row has changed.
            RuntimeError: only some rows are to begin, but the others have no state yet.
        """
        self.reset_rows(seed, rows=rows, levels=levels)
        return self.tensors.obs

    def step(self, actions: Any) -> Step:
        """Step every row by `actions`: a tensor or array, (N,) integers or (N, *shape) floats; or a list of N texts.

        Raises:
            RuntimeError: before the first reset.
            ValueError: actions of the wrong dtype, shape or range; no row has moved.
        """
        if actions is None:
            raise ValueError("actions are None; only step_rows() steps by what stands in action_buffer")
        self.step_rows(actions)
        return self.tensors

    def reset_rows(self, seed: Seeds = None, *, rows: Any = None, levels: Sequence[int | None] | None = None) -> None:
        """`reset` without its views; `arrays` and `tensors` have them."""
        if self._draws_all and seed is None and rows is None and levels is None:
            self._drivers.reset(*self._reset_arguments)  # short: a single environment resets every few steps
            return
        requests = level_requests(rows, levels, self.num_envs, self.num_levels)
        seeds, seeded = new_seeds(seed, self._seeds)
        begun = requests != LEAVE
        if not self._started and not begun.all():
            raise RuntimeError("the first reset must begin every row; rows is for later ones")
        seeded = begun & seeded if self._started else begun  # at first there is no stream to continue
        if seeded.any():
            self._seeds = np.where(seeded, seeds, self._seeds)
            self._seed_states(seeded)
        self._requests.write(requests.view(kernels.REQUEST))
        self._draws_all = rows is None and levels is None
        self._drivers.reset(*self._reset_arguments)
        self._started = True

    def step_rows(self, actions: Any = None) -> None:
        """`step` without its views; without `actions`, by those that stand in `action_buffer` (or `last_action`)."""
        if not self._started:
            raise RuntimeError("reset() must be called before the first step")
        last = self._actions.copy() if self._terms is not None else None
        if actions is not None:
            self._take(actions)
        if last is not None:
            self._step_with_terms(last)
        else:
            self._step_driver(*self._step_arguments)

    def align_groups(self) -> None:
        """Let the next `reset` give the rows of a group the same level, though some have played more episodes."""
        episode = self._states.tensors["episode"].view(-1, self.group_size)
        episode.copy_(episode.amax(dim=1, keepdim=True).expand_as(episode))

    def _seed_states(self, chosen: np.ndarray) -> None:
        """Seed the generators of the rows where `chosen` (N,) holds."""
        states = seeded_states(self.world.state, self._seeds, self.group_size, self.order, self.num_levels)
        if not chosen.all():
            states[~chosen] = np.frombuffer(self._states.read(), self.world.state)[~chosen]
        self._states.write(states)

    def _take(self, actions: Any) -> None:
        """Check actions and write them where the kernel reads them."""
        allowed = self.world.actions
        if is_text(actions) or (isinstance(allowed, np.dtype) and getattr(actions, "dtype", None) != allowed):
            actions = self.parse(actions)
        checked: Any = None
        if self._check_actions:  # an ended row's action is not played
            checked = slice(None) if self.autoreset == "same_step" else ~self.over
        if self._on_host:
            target, given = self.action_buffer, as_array(actions)
            check_actions(self.world, given, target.shape, checked)
            target[...] = given
            return
        import torch

        buffer, sent = self.last_action, torch.as_tensor(actions, device=self.device)
        check_actions(self.world, as_array(sent) if self._check_actions else sent, buffer.shape, checked)
        buffer.copy_(sent.detach())

    def _step_with_terms(self, last: Any) -> None:
        """Step, and add the reward terms; if one of them raises, undo the step and let the exception through.

        `last`: the actions of the step before, which then are the last ones again.
        """
        saved, values = self.save_buffers(), self._terms.save()
        before = {name: value.clone() for name, value in self.tensors.obs.items()}
        # Rows that begin an episode in this step, or stand at the end of one, have no transition: terms give them 0.
        begun = self._states.tensors["over"].bool() if self.autoreset != "same_step" else None
        try:
            self._step_driver(*self._step_arguments)
            self._terms.add(before, self.last_action, self.tensors, self.decode, begun)
        except BaseException:
            self.load_buffers(saved)
            self._terms.load(values)
            self._actions.write(last)
            raise

    # ------------------------------------------------------------------ copying

    def __deepcopy__(self, memo: dict) -> "BatchEnv":
        """Return a batch with its own buffers that continues bit for bit; it shares the world, which never changes."""
        twin = BatchEnv.__new__(BatchEnv)
        memo[id(self)] = twin
        memo[id(self.identity)] = self.identity  # immutable, and its configuration may hold a whole pool
        BatchEnv.__init__(twin, self.world, self.num_envs, **copy.deepcopy(self._settings, memo))
        twin.__setstate__(self.__getstate__())
        return twin

    def __reduce__(self) -> tuple:
        """Pickle by id and configuration, with the buffers' bytes.

        Raises:
            TypeError: the batch was made from a `World` object, which has no id to be found by.
        """
        if self.identity.build is None:
            raise TypeError("a batch made from a World object cannot be pickled; make it by llm_envs.make_batch(id)")
        return _rebuild, (self.num_envs, self._settings), self.__getstate__()


def _rebuild(num_envs: int, settings: dict[str, Any]) -> BatchEnv:
    """Make the batch that a pickle describes."""
    # No number depends on the threads, and another machine may have fewer cores.
    threads = settings["threads"] and min(settings["threads"], config.NUMBA_NUM_THREADS)
    return BatchEnv(settings["identity"].build(), num_envs, **{**settings, "threads": threads})
