"""A batch as seen from the host: NumPy copies of a step, texts, pictures, masks, and the position of its rows."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from llm_envs.engine import pictures
from llm_envs.engine.actions import check_fields, check_texts
from llm_envs.validation import check_range, quote
from llm_envs.world import Row, World

if TYPE_CHECKING:
    from llm_envs.engine.records import Records


class Step(NamedTuple):
    """What one step leaves: views of live buffers, NumPy arrays or torch tensors."""

    obs: dict  # (N, ...) each; of the next episode where one ended
    reward: Any  # (N,) float32
    terminated: Any  # (N,) bool: the task itself ended
    truncated: Any  # (N,) bool: the time limit was reached; both may hold
    final_obs: dict  # (N, ...) each; meant only where an episode ended in this step
    signals: dict  # (N,) float32 each: the unweighted terms by name
    level: Any  # (N,) int32: which of the split's levels the episode in `obs` plays
    final_level: Any  # (N,) int32: which one the step was taken in, and the episode in `final_obs` played


class HostView:
    """The part of `BatchEnv` that reads and never writes; nothing here belongs into a training loop on a GPU."""

    world: World
    num_envs: int
    identity: Any  # an engine.batch.Identity
    _on_host: bool
    _states: "Records"
    _levels: "Records"
    _setup: "Records"
    _observations: "Records"
    _finals: "Records"
    _outcomes: "Records"
    _terms: Any  # RewardTerms or None
    _views: dict[str, Step]  # the kept results of _step_view
    _rows: dict[int, tuple[int, Row]]  # those of `row`, with the level that each plays

    def _step_view(self, kind: str) -> Step:
        """Return (and keep) the Step whose entries are views of kind "arrays" or "tensors"."""
        # Made once: the buffers are never replaced, and to make their views costs more than a step of one row.
        if kind not in self._views:
            outcome = getattr(self._outcomes, kind)
            signals = {name: outcome["values"][:, k] for k, name in enumerate(self.world.signals)}
            # The world's signals lie in the outcome records, (N, signals) float32; the values of `rewards` are tensors.
            terms = self._terms.values if self._terms else {}
            signals |= terms if kind == "tensors" else {name: value.numpy() for name, value in terms.items()}
            self._views[kind] = Step(
                obs=getattr(self._observations, kind),
                reward=outcome["reward"],
                terminated=outcome["terminated"],
                truncated=outcome["truncated"],
                final_obs=getattr(self._finals, kind),
                signals=signals,
                level=getattr(self._states, kind)["level"],
                final_level=outcome["level"],
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
    def records(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows' states and the split's levels, as live records (CPU only)."""
        return self._states.records, self._levels.records

    @property
    def signal_values(self) -> np.ndarray:
        """The unweighted signals of the last step, (N, K) float32 in the order of `world.signals`, live (CPU only)."""
        return self._outcomes.arrays["values"]

    @property
    def term_names(self) -> list[str]:
        """The names of the reward terms: the world's signals, then those of `rewards`."""
        return [*self.world.signals, *(self._terms.values if self._terms else ())]

    @property
    def level_index(self) -> np.ndarray:
        """Which of the split's `num_levels` levels each row plays, (N,) int32, a copy on the host."""
        return self._state_field("level").copy()

    @property
    def episode(self) -> np.ndarray:
        """How many episodes each row has begun since it was seeded, less one, (N,) int32, a copy on the host."""
        return self._state_field("episode").copy()

    @property
    def over(self) -> np.ndarray:
        """Which rows stand at the end of an episode, (N,) bool, a copy on the host."""
        return self._state_field("over") != 0

    def _state_field(self, name: str) -> np.ndarray:
        """Return a field of all states: a live view on the CPU, a copy from a GPU."""
        return self._states.arrays[name] if self._on_host else self._states.tensors[name].cpu().numpy()

    def decode(self, obs: Mapping[str, Any]) -> list[str]:
        """Return observations, (M, ...) arrays or tensors of any device, as M texts; M need not be N.

        Raises:
            ValueError: `obs` has other fields than this world's observations, or not M of each.
        """
        check_fields(self.world, obs)
        host = {name: np.asarray(value.cpu() if hasattr(value, "cpu") else value) for name, value in obs.items()}
        # One by one: a world's `decode` takes one row, and texts are for people and judges, not for the training loop.
        count = len(next(iter(host.values())))
        return [self.decode_row({name: value[i] for name, value in host.items()}) for i in range(count)]

    def decode_row(self, obs: Mapping[str, np.ndarray]) -> str:
        """Return one observation, without a batch dimension, as text."""
        world = self.world
        if world.text is not None and world.text.decode is not None:
            return world.text.decode(Row(None, None, self._params, obs))
        if world.tokenizer is not None:
            return world.tokenizer.decode(obs["tokens"][: int(obs["length"][0])].tolist(), skip_special_tokens=False)
        return ", ".join(f"{name} {value.tolist()}" for name, value in obs.items())

    def text(self, row: int) -> str:
        """Return the observation of row `row` as text; ValueError or TypeError where there is no such row."""
        check_range("row", row, 0, self.num_envs - 1)
        return self.decode_row(self._row_observation(row))

    def parse(self, texts: Sequence[str]) -> np.ndarray:
        """Return what typed commands mean now, (N,) actions: text i in the state of row i (CPU only).

        Raises:
            ValueError: the world reads no text, or `texts` is no list of N strings.
        """
        if not self.world.takes_text or not self._on_host:
            where = "in this configuration" if self._on_host else "on a GPU"
            raise ValueError(f"{self.identity.world_id} reads no text {where}; actions must be numbers")
        check_texts(texts, self.num_envs)
        kind = np.dtype(np.int64) if isinstance(self.world.actions, int) else self.world.actions
        assert isinstance(kind, np.dtype), "a command is a number or a record, never a vector"
        return np.array([self.parse_row(text, i) for i, text in enumerate(texts)], kind)  # (N,)

    def parse_row(self, text: str, i: int) -> Any:
        """Return what a typed command means in the state of row i of a world that reads text, one action.

        Raises:
            ValueError: `text` is no string.
        """
        if not isinstance(text, str):
            raise ValueError(f"actions[{i}] is {quote(text)}; it must be a string")
        parse = self.world.text.parse if self.world.text is not None else None
        assert parse is not None, "callers ask `takes_text` first"
        return parse(text, self.row(i))

    def info(self, row: int) -> dict[str, Any]:
        """Return what the world's string form adds to `info` for row `row`; {} where it adds nothing."""
        text = self.world.text
        return text.info(self.row(row)) if text is not None and text.info is not None else {}

    def row(self, row: int = 0) -> Row:
        """Return row `row` as hooks see it: live records on the CPU, copies of them from a GPU.

        Raises:
            ValueError, TypeError: there is no such row.
        """
        if type(row) is not int or not 0 <= row < self.num_envs:  # quicker than the check, which then names the fault
            check_range("row", row, 0, self.num_envs - 1)
        kept = self._rows.get(row)
        if kept is not None and kept[0] == self.arrays.level[row]:
            return kept[1]
        states = self._states.part(row)
        index = int(states["level"][0])
        levels = self._levels.part(index)
        state, level = (one.view(np.recarray)[0] for one in (states, levels))
        made = Row(state, level, self._params, self._row_observation(row), (states, levels))
        if self._on_host:  # live views, so the row can be kept while it plays this level
            self._rows[row] = index, made
        return made

    def _row_observation(self, row: int) -> dict[str, np.ndarray]:
        if self._on_host:
            return {name: value[row] for name, value in self.arrays.obs.items()}
        return {name: value[row].cpu().numpy() for name, value in self.tensors.obs.items()}

    @cached_property
    def _params(self) -> Any:
        return self._setup.row(0).params

    def render(self, row: int = 0) -> str:
        """Return row `row` as text for a terminal; ValueError where there is no such row."""
        display = self.world.display
        return display.render(self.row(row)) if display is not None and display.render is not None else self.text(row)

    def to_host(self) -> Step:
        """Return the last step as NumPy copies, (N, ...), from any device."""
        if self._on_host:
            return copy.deepcopy(self.arrays)
        step = self.tensors

        def copied(group: dict) -> dict:
            return {name: value.cpu().numpy() for name, value in group.items()}

        # Each `.cpu()` waits for the device: this is for adapters and tools that need NumPy anyway.
        groups = {name: copied(getattr(step, name)) for name in ("obs", "final_obs", "signals")}
        plain = ("reward", "terminated", "truncated", "level", "final_level")
        return Step(**groups, **{name: getattr(step, name).cpu().numpy() for name in plain})

    def frame(self, row: int = 0) -> np.ndarray:
        """Return row `row` as a picture, (height, width, 3) uint8: the world's own, else its text on a page."""
        view, display = self.row(row), self.world.display
        if display is not None and display.frame is not None:
            return display.frame(view)
        # The world's own picture, else the transcript with the policy's tokens in another colour, else any text.
        if self.world.tokenizer is not None and {"tokens", "length"} <= set(view.observation):
            return pictures.draw_transcript(self.world, view.observation, int(view.state.t), self.decode_row)
        return pictures.draw_text(self.render(row))

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool; all of them in a world without `action_mask`.

        Raises:
            ValueError: actions are vectors, or typed commands, of which there is no list.
        """
        if not isinstance(self.world.actions, int) and not self.world.takes_text:
            raise ValueError("only discrete actions have masks")
        obs = self.arrays.obs if self._on_host else self.to_host().obs
        if "action_mask" in obs:
            return obs["action_mask"].astype(bool)
        if self.world.takes_text:
            raise ValueError("typed commands have no mask; what can be said is in info['admissible_commands']")
        return np.ones((self.num_envs, int(self._setup.row(0).num_actions)), bool)
