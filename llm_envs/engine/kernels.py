"""The loop around the rules, written once and specialised per world for the CPU and CUDA.

`reset_one`, `step_one`, `reset_rows` and `step_rows` are templates: `reset`, `step`, `observe`, `legal` and `share` are
names that `specialise` binds to one world's rules and to how threads, or CUDA's grid, share the rows out. Only the two
loops index arrays; everything below them takes records, which carry no reference counts (measured: a factor of 2 to 3).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from llm_envs.engine.jit import specialise
from llm_envs.engine.levels import DRAW, LEAVE
from llm_envs.rng import EPISODES, below, mix
from llm_envs.world import Rules, Vector, World, keep, record, values

# Names that specialise() binds; the templates below never run with these.
reset = step = observe = legal = share = None
choose_level = reset_row = step_row = clear_outcome = None

AUTORESETS = ("never", "same_step", "next_step")
NEVER, SAME_STEP, NEXT_STEP = range(3)
REQUEST = record(level=np.int64)  # what a reset asks of a row: the index of a level, DRAW or LEAVE


class Drivers(NamedTuple):
    """What a batch runs on: where its records live, and what calls the rules on all rows of them."""

    make_records: Callable[..., Any]  # as `Records`
    reset: Callable  # of reset_rows
    step: Callable  # of step_rows
    device: str  # of torch's tensors over the records


def setup_record(world: World) -> np.dtype:
    """Return the record of all that is constant while a batch lives: the world's params and the engine's settings."""
    # The whole of it in one record, an argument of the kernels: as globals, settings would be compiled in, and every
    # weight or time limit would make a kernel of its own.
    return record(
        params=world.params.dtype,
        weights=(np.float32, (len(world.signals),)),
        num_actions=np.int64,
        num_levels=np.int64,
        stride=np.int64,  # order="sweep": levels between a row's episodes; 0 for order="random"
        max_steps=np.int64,  # 0 for no time limit
        autoreset=np.int32,  # index into AUTORESETS
        low=np.float32,  # range of a continuous action
        high=np.float32,
    )


def setup_values(world: World, weights: list[float], num_levels: int, stride: int, autoreset: str) -> np.ndarray:
    """Return a batch's setup, (1,)."""
    continuous = world.actions if isinstance(world.actions, Vector) else None
    return values(
        setup_record(world),
        params=world.params[0],
        weights=weights,
        num_actions=world.actions if isinstance(world.actions, int) else 0,
        num_levels=num_levels,
        stride=stride,
        max_steps=world.max_steps,
        autoreset=AUTORESETS.index(autoreset),
        low=continuous.low if continuous else 0.0,
        high=continuous.high if continuous else 0.0,
    )


def outcome_record(world: World) -> np.dtype:
    """Return the record of one step's result; `values` are the signals' bytes seen as a float vector."""
    # `signals`, for the rules by name, and `values`, for the loop by number, are the same 4 * count bytes.
    signals = keep(np.dtype([(name, np.float32) for name in world.signals], align=True))
    count = len(world.signals)
    kind = np.dtype(
        {
            "names": ["reward", "terminated", "truncated", "level", "signals", "values"],
            "formats": [np.float32, np.bool_, np.bool_, np.int32, signals, (np.float32, (count,))],
            "offsets": [0, 4, 5, 8, 12, 12],
            "itemsize": 12 + 4 * count,
            "aligned": True,
        }
    )
    return keep(kind)


def action_record(world: World) -> np.dtype:
    """Return the record that holds one action; the rule gets `index` itself, else the record."""
    if isinstance(world.actions, int):
        return record(index=np.int64)
    if isinstance(world.actions, Vector):
        return record(vector=(np.float32, world.actions.shape))
    return world.actions


def legality(world: World) -> Callable:
    """Return the template that decides whether an action of the world is legal."""
    if isinstance(world.actions, int):
        return legal_index
    return legal_vector if isinstance(world.actions, Vector) else legal_record


def legal_index(action, setup):
    """Return whether a discrete action is in range; for the engine any other is a no-op."""
    return 0 <= action < setup.num_actions


def legal_vector(action, setup):
    """Return whether a continuous action is finite and in range; for the engine any other is a no-op."""
    for k in range(action.vector.shape[0]):  # noqa: SIM110 (numba compiles no generators)
        if not setup.low <= action.vector[k] <= setup.high:
            return False
    return True


def legal_record(action, setup):
    """Return True: the rule itself decides what a record of its own means."""
    return True


def choose(state, setup, request):
    """Choose the level of the row's next episode, the requested one or the next of its stream, and reset its clock."""
    # Counted from -1, and also for a requested level: the stream stands where drawing would have left it.
    state.episode += 1
    if request >= 0:
        state.level = request
    elif setup.stride > 0:
        # A sweep: `stride` is the number of groups, so that in num_levels / stride episodes they play every level.
        state.level = (np.int64(state.stream) + np.int64(state.episode) * setup.stride) % setup.num_levels
    else:
        # Hashed, not drawn from `rng`: how a policy plays does not change which levels follow.
        state.level = below(mix(state.stream + np.uint64(state.episode) * EPISODES), setup.num_levels)
    state.t = 0
    state.over = 0


def reset_one(state, level, setup, observation):
    """Begin the chosen level and observe it."""
    reset(state, level, setup.params)
    observe(state, level, setup.params, observation)


def clear(outcome):
    """Zero the reward, the flags and the signals of the last step."""
    for k in range(outcome.values.shape[0]):
        outcome.values[k] = 0.0
    outcome.reward = 0.0
    outcome.terminated = False
    outcome.truncated = False


def step_one(state, level, setup, action, observation, outcome):
    """Take one step of one row, observe, weight the signals, and return whether the episode is over."""
    # Signals are zeroed here, so that a rule sets those that are not 0. The clock runs before the rule, which finds in
    # `state.t` the number of the step that it takes, from 1 on.
    clear_outcome(outcome)
    state.t += 1
    terminated = False
    if legal(action, setup):
        terminated = step(state, level, setup.params, action, outcome.signals)
        observe(state, level, setup.params, observation)
    # Noted before the next episode's level is chosen.
    outcome.level = state.level
    outcome.terminated = terminated
    outcome.truncated = 0 < setup.max_steps <= state.t  # both may hold on the last allowed step
    # reward = sum_k weight_k * signal_k, in float32 and in the signals' order, on every device.
    reward = np.float32(0.0)
    for k in range(outcome.values.shape[0]):
        reward += setup.weights[k] * outcome.values[k]
    outcome.reward = reward
    state.over = outcome.terminated or outcome.truncated
    return state.over


def reset_rows(turn, setup, levels, states, observations, requests):
    """Begin the next episode in every row that is not left as it is."""
    first, stop = share(turn, -1, states.shape[0])
    while first < stop:
        for i in range(first, stop):
            if requests[i].level != LEAVE:
                choose_level(states[i], setup[0], requests[i].level)
                reset_row(states[i], levels[states[i].level], setup[0], observations[i])
        first, stop = share(turn, first, states.shape[0])


def step_rows(turn, setup, levels, states, observations, words, finals, actions, outcomes):
    """Step every row; where an episode ends, keep its final observation and begin the next as `autoreset` says.

    `words` are the observations' bytes as whole numbers, `finals` those of the final ones: a record assigned to a
    record would be copied byte by byte on a GPU.
    """
    first, stop = share(turn, -1, states.shape[0])
    while first < stop:
        for i in range(first, stop):
            if states[i].over:
                # The action is not played and the reward is 0: Gymnasium's NEXT_STEP begins the next episode, and
                # without autoreset the row stands still. (SAME_STEP comes here with a snapshot of another mode only.)
                clear_outcome(outcomes[i])
                if setup[0].autoreset != NEVER:
                    choose_level(states[i], setup[0], DRAW)
                    reset_row(states[i], levels[states[i].level], setup[0], observations[i])
                outcomes[i].level = states[i].level
            elif step_row(states[i], levels[states[i].level], setup[0], actions[i], observations[i], outcomes[i]):
                # Before the reset below, which writes over the row's observation.
                for k in range(words.shape[1]):
                    finals[i, k] = words[i, k]
                if setup[0].autoreset == SAME_STEP:
                    choose_level(states[i], setup[0], DRAW)
                    reset_row(states[i], levels[states[i].level], setup[0], observations[i])
        first, stop = share(turn, first, states.shape[0])


def rule_names(rules: Rules, legal: Callable, jit: Callable) -> dict[str, Any]:
    """Return what the templates' names mean under these rules, with the per-row templates made by `jit`."""
    # Inner templates first: `specialise` binds names to functions that exist already.
    names = {"reset": rules.reset, "step": rules.step, "observe": rules.observe, "legal": jit(legal)}
    names |= {"choose_level": jit(choose), "clear_outcome": jit(clear)}
    return names | {"reset_row": specialise(reset_one, jit, **names), "step_row": specialise(step_one, jit, **names)}
