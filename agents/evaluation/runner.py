"""Sweeps: each level of a split is played once, in a batch, by a policy, at random or by the world's own solutions.

N rows, L levels, K signals.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.save_util import load_from_zip_file
from torch import Tensor

from agents.policies.compatibility import check_fit
from agents.policies.decoding import Reader
from agents.policies.packing import on_device
from llm_envs.engine import levels
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import build
from llm_envs.validation import check_range
from llm_envs.world import Vector, World

Act = Callable[[dict[str, Tensor]], Tensor]  # observations (N, ...) -> actions (N, ...)
Score = Callable[[dict[str, Tensor], Tensor], Tensor]  # observations, actions -> log-probabilities (N,)

BATCH_OPTIONS = ("weights", "rewards", "threads", "check_actions")  # keywords of the batch; all others are the world's


# ---------------------------------------------------------------------- who acts, who scores


def policy_actions(policy: Any, deterministic: bool) -> Act:
    """Return a function that acts by an SB3 policy; one with a trunk reads each token once, through a `Reader`."""
    policy.set_training_mode(False)
    reader: Reader | None = None

    def act(obs: dict[str, Tensor]) -> Tensor:
        nonlocal reader
        obs = on_device(obs, policy.device)
        with torch.no_grad():
            if getattr(policy, "trunk", None) is None:
                return policy._predict(obs, deterministic)
            reader = reader or Reader(policy, len(obs["tokens"]))
            return policy.act(reader(obs), obs, deterministic)[0]

    return act


def policy_log_probs(policy: Any) -> Score:
    """Return a function to the log-probabilities (N,), in nats, of actions under an SB3 policy."""
    policy.set_training_mode(False)

    def score(obs: dict[str, Tensor], actions: Tensor) -> Tensor:
        with torch.no_grad():
            return policy.evaluate_actions(on_device(obs, policy.device), actions.to(policy.device))[1]

    return score


def random_actions(batch: BatchEnv, seed: int) -> Act:
    """Return a function that draws uniformly from the legal actions, or the box; ValueError for typed text."""
    # A generator of its own: torch's default one belongs to the policies under test.
    generator, world = torch.Generator().manual_seed(seed), batch.world
    if world.takes_text:
        raise ValueError("random actions cannot be typed as text; choose another form of action, such as 'admissible'")

    def act(obs: dict[str, Tensor]) -> Tensor:
        if isinstance(world.actions, Vector):
            low, high = world.actions.low, world.actions.high
            return low + (high - low) * torch.rand(batch.num_envs, *world.actions.shape, generator=generator)
        assert isinstance(world.actions, int)
        legal = torch.ones(batch.num_envs, world.actions)
        if "action_mask" in obs:
            legal = obs["action_mask"].float().cpu()
        return torch.multinomial(legal, 1, generator=generator).flatten()

    return act


def action_function(model: Any, batch: BatchEnv, world_id: str, deterministic: bool, seed: int) -> Act:
    """Return a function from observations to actions.

    Args:
        model: "random", an SB3 model or policy, or such a function itself.
        batch: in which it acts.
        world_id: for messages.
        deterministic: take the most likely actions of a policy.
        seed: of random actions.

    Raises:
        ValueError: anything else, or a policy that does not fit the world; see `check_fit`.
    """
    if isinstance(model, str) and model == "random":
        return random_actions(batch, seed)
    policy = as_policy(model)
    if policy is not None:
        check_fit(policy, batch.world, world_id)
        return policy_actions(policy, deterministic)
    if not callable(model):
        raise ValueError(f'policy is {model!r}; it must be "random", an SB3 model or policy, or a function')
    return model


def as_policy(model: Any) -> Any:
    """Return the policy of an SB3 model, a policy unchanged, None for anything else."""
    policy = getattr(model, "policy", model)
    return policy if hasattr(policy, "_predict") else None


def load_policy(path: Path | str, device: str) -> Any:
    """Return the policy of a saved SB3 model, whichever algorithm saved it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no model.
    """
    if not any(Path(f"{path}{ending}").exists() for ending in ("", ".zip")):  # SB3 appends .zip
        raise FileNotFoundError(f"there is no saved model {path}")
    data, weights, _ = load_from_zip_file(path, device=device)
    if data is None:
        raise ValueError(f"{path} holds no model of Stable-Baselines3")
    # Not the algorithm's `load`: the file does not say which algorithm saved it, and only the policy is needed.
    spaces = data["observation_space"], data["action_space"]
    policy = data["policy_class"](*spaces, lambda _: 0.0, **data["policy_kwargs"]).to(device)
    policy.load_state_dict(weights["policy"])
    policy.vocabulary = data.get("vocabulary")
    return policy


# ---------------------------------------------------------------------- playing


@dataclass(frozen=True)
class EpisodeResults:
    """The episodes of a sweep, one of each of L levels, in the pool's order."""

    returns: np.ndarray  # (L,) total rewards
    lengths: np.ndarray  # (L,) steps
    terminated: np.ndarray  # (L,) 0 or 1
    losses: np.ndarray  # (L,) negative log-probability of the actions, in nats; 0 without a score
    signals: dict[str, np.ndarray]  # (L,) totals
    actions: list[np.ndarray]  # L arrays (length, ...)
    transcripts: list[str]  # final observations of the first levels


def held_out(world: World, split: str) -> str:
    """Return the split, or "all" for levels of the user's own: none of them are held out."""
    return "all" if world.custom_levels else split


def sweep_batch(
    world_id: str, split: str | None, rows: int, max_levels: int, device: str, config: dict[str, Any]
) -> BatchEnv:
    """Return a batch that sweeps over the levels of a split.

    Args:
        world_id: one of `llm_envs.ids()`.
        split: see `llm_envs.engine.levels.select`; None is its default.
        rows: most rows; fewer if there are fewer levels.
        max_levels: only the first so many levels; 0 for all.
        device: of the batch.
        config: the world's configuration, and `BATCH_OPTIONS`.
    """
    check_range("levels_at_once", rows, 1, 2**31 - 1)
    check_range("max_levels", max_levels, 0, 2**31 - 1)
    settings = {name: config[name] for name in BATCH_OPTIONS if name in config}
    world = build(world_id, {name: value for name, value in config.items() if name not in BATCH_OPTIONS})
    chosen = levels.select(world, split)[: max_levels or None]
    # A pool of the chosen levels alone, so that a sweep meets each once and no other.
    world = replace(world, levels=chosen)
    return BatchEnv(world, min(rows, len(chosen)), split="all", order="sweep", device=device, **settings)


def play(
    batch: BatchEnv,
    act: Callable[[dict[str, Tensor], np.ndarray, np.ndarray], Tensor],
    score: Score | None = None,
    transcripts: int = 0,
    seed: int = 0,
) -> EpisodeResults:
    """Play each level of a sweeping batch once.

    Args:
        batch: in order "sweep", with at most as many rows as levels.
        act: (observations, the rows' levels (N,), their steps so far (N,)) -> actions (N, ...). A level of `num_levels`
            or more is a row that has finished its share: it keeps its last observation, so that nothing is read again.
        score: its negative log-probabilities of the actions are summed as `losses`; None: 0.
        transcripts: the number of levels whose final observations are kept as text.
        seed: of the world's own randomness; the levels are the same for every seed.
    """
    count, rows = batch.num_levels, batch.num_envs
    # A multiple of the number of levels: the sweep starts at level 0 for every seed.
    obs = batch.reset(seed=seed * count)  # row i starts at level (seed + i) modulo count
    names, level = list(batch.tensors.signals), np.arange(rows)
    # Columns: return, length, terminated, loss, the K signals; of running episodes (N, .), of finished levels (L, .).
    sums, results = np.zeros((rows, 4 + len(names))), np.zeros((count, 4 + len(names)))
    last_step, action_log = np.zeros(count, np.int64), []
    texts = [""] * min(transcripts, count)
    visible_obs = {name: value.clone() for name, value in obs.items()}
    while (playing := level < count).any():
        active = torch.as_tensor(playing, device=batch.device)
        for name, value in obs.items():
            visible_obs[name][active] = value[active]
        actions = torch.as_tensor(act(visible_obs, level, sums[:, 1].astype(np.int64)))
        if "action_mask" in obs:  # finished rows act on an old observation, but their actions must be legal now
            actions = actions.to(batch.device).where(active, obs["action_mask"].argmax(dim=1))
        if score is not None:
            sums[:, 3] -= score(visible_obs, actions).double().cpu().numpy()
        action_log.append(actions.cpu().numpy().copy())
        step = batch.step(actions.to(batch.device))
        reward, terminated, truncated, *signals = (
            value.cpu().numpy()
            for value in (step.reward, step.terminated, step.truncated, *(step.signals[name] for name in names))
        )
        sums[:, 0] += reward
        sums[:, 1] += 1
        sums[:, 2] = terminated
        for k, value in enumerate(signals, start=4):
            sums[:, k] += np.nan_to_num(value)  # NaN: not measured in this step
        ended = terminated | truncated
        finished = np.flatnonzero(ended & (level < count))
        results[level[finished]] = sums[finished]
        last_step[level[finished]] = len(action_log)
        transcribed = finished[level[finished] < len(texts)]
        if len(transcribed):
            decoded = batch.decode({name: value[transcribed] for name, value in step.final_obs.items()})
            for k, text in zip(level[transcribed], decoded, strict=True):
                texts[k] = text
        level[ended] += rows  # the order "sweep": row i plays levels i, i + N, i + 2 N, ...
        sums[ended] = 0
        obs = step.obs
    returns, lengths, terminations, losses, *totals = results.T
    actions_of_all = np.stack(action_log)  # (steps, N, ...)
    actions_by_level = [
        actions_of_all[end - int(length) : end, k % rows]
        for k, (end, length) in enumerate(zip(last_step, lengths, strict=True))
    ]
    signal_totals = dict(zip(names, totals, strict=True))
    return EpisodeResults(returns, lengths, terminations, losses, signal_totals, actions_by_level, texts)


def solutions(batch: BatchEnv) -> list[np.ndarray]:
    """Return the world's own solution of each of L levels: arrays (length, ...) of actions.

    Raises:
        ValueError: a level has none.
    """
    world, row, found = batch.world, batch.row(0), []
    pool = world.levels.view(np.recarray)
    for k in range(len(pool)):
        try:
            found.append(np.array(world.solution(row._replace(level=pool[k]))))  # type: ignore[misc]
        except ValueError as error:
            raise ValueError(f"level {k} has no solution ({error}); pass oracle=False to go without") from error
    return found


def play_expert_actions(
    batch: BatchEnv, expert_actions: list[np.ndarray], score: Score | None = None, seed: int = 0
) -> EpisodeResults:
    """Play every level by its expert actions, L arrays (length, ...); the last is repeated."""
    size = np.array([len(actions) for actions in expert_actions])  # (L,)
    steps = np.arange(size.max())
    padded = np.stack([actions[np.minimum(steps, len(actions) - 1)] for actions in expert_actions])  # (L, longest, ...)

    def act(obs: dict[str, Tensor], level: np.ndarray, t: np.ndarray) -> Tensor:
        k = level % len(expert_actions)  # of finished rows any will do
        return torch.as_tensor(padded[k, np.minimum(t, size[k] - 1)])

    return play(batch, act, score, seed=seed)
