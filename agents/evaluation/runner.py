"""Sweeps: each level of a split is played once, in a batch, by a policy, at random or by the world's own solutions."""

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

SETTINGS = ("weights", "rewards", "threads", "check_actions")  # of the batch; all other keywords are the world's


# ---------------------------------------------------------------------- who acts, who scores


def policy_actions(policy: Any, deterministic: bool) -> Act:
    """Return a function that acts by an SB3 policy; one of ours reads each token once."""
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
    """Return a function that gives the log-probabilities (N,) of actions under an SB3 policy."""
    policy.set_training_mode(False)

    def score(obs: dict[str, Tensor], actions: Tensor) -> Tensor:
        with torch.no_grad():
            return policy.evaluate_actions(on_device(obs, policy.device), actions.to(policy.device))[1]

    return score


def random_actions(batch: BatchEnv, seed: int) -> Act:
    """Return a function that draws uniformly among the legal actions, or from the box; ValueError for typed text."""
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


def act_of(model: Any, batch: BatchEnv, world_id: str, deterministic: bool, seed: int) -> Act:
    """Return how "random", an SB3 model or policy, or a function from observations to actions acts; else ValueError."""
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
    """Return the policy of an SB3 model, a policy as it is, and None for anything else."""
    policy = getattr(model, "policy", model)
    return policy if hasattr(policy, "_predict") else None


def load_policy(path: Path | str, device: str) -> Any:
    """Return the policy of a saved SB3 model, whichever algorithm saved it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no model.
    """
    if not any(Path(f"{path}{ending}").exists() for ending in ("", ".zip")):  # SB3 adds it
        raise FileNotFoundError(f"there is no saved model {path}")
    data, weights, _ = load_from_zip_file(path, device=device)
    if data is None:
        raise ValueError(f"{path} holds no model of Stable-Baselines3")
    spaces = data["observation_space"], data["action_space"]
    policy = data["policy_class"](*spaces, lambda _: 0.0, **data["policy_kwargs"]).to(device)
    policy.load_state_dict(weights["policy"])
    policy.vocabulary = data.get("vocabulary")
    return policy


# ---------------------------------------------------------------------- playing


@dataclass(frozen=True)
class Played:
    """One episode of each of L levels, in the pool's order."""

    returns: np.ndarray  # (L,)
    lengths: np.ndarray  # (L,)
    terminated: np.ndarray  # (L,) 0 or 1
    losses: np.ndarray  # (L,) nats; 0 without a score
    signals: dict[str, np.ndarray]  # (L,) totals
    actions: list[np.ndarray]  # L arrays (length, ...)
    transcripts: list[str]  # final observations of the first levels


def held_out(world: World, split: str) -> str:
    """Return the split, or "all" where the user brought the levels: of those none are held out."""
    return "all" if world.custom_levels else split


def sweep_batch(
    world_id: str, split: str | None, rows: int, max_levels: int, device: str, config: dict[str, Any]
) -> BatchEnv:
    """Return a batch of at most `rows` rows whose levels are the split's, or its first `max_levels`; see `select`."""
    check_range("levels_at_once", rows, 1, 2**31 - 1)
    check_range("max_levels", max_levels, 0, 2**31 - 1)
    settings = {name: config[name] for name in SETTINGS if name in config}
    world = build(world_id, {name: value for name, value in config.items() if name not in SETTINGS})
    chosen = levels.select(world, split)[: max_levels or None]
    world = replace(world, levels=chosen)
    return BatchEnv(world, min(rows, len(chosen)), split="all", order="sweep", device=device, **settings)


def play(
    batch: BatchEnv,
    act: Callable[[dict[str, Tensor], np.ndarray, np.ndarray], Tensor],
    score: Score | None = None,
    transcripts: int = 0,
    seed: int = 0,
) -> Played:
    """Play each level of a sweeping batch once.

    Args:
        batch: in order "sweep", with at most as many rows as levels.
        act: called with observations, the rows' levels (N,) and their steps so far (N,); levels from `num_levels` on
            are of rows that have no more to do: they show what they showed when they ended, so that nothing is read.
        score: whose log-probabilities of the actions are summed, negative, as `losses`.
        transcripts: how many levels' final observations to keep as text.
        seed: of what is random in the world; the levels are the same for all.
    """
    count, rows = batch.num_levels, batch.num_envs
    obs = batch.reset(seed=seed * count)  # row i begins at level (seed + i) modulo count
    names, level = list(batch.tensors.signals), np.arange(rows)
    sums, found = np.zeros((rows, 4 + len(names))), np.zeros((count, 4 + len(names)))
    last, log = np.zeros(count, np.int64), []
    texts = [""] * min(transcripts, count)
    shown_obs = {name: value.clone() for name, value in obs.items()}
    while (playing := level < count).any():
        active = torch.as_tensor(playing, device=batch.device)
        for name, value in obs.items():
            shown_obs[name][active] = value[active]
        actions = torch.as_tensor(act(shown_obs, level, sums[:, 1].astype(np.int64)))
        if "action_mask" in obs:  # what is done is no longer seen, but must be legal
            actions = actions.to(batch.device).where(active, obs["action_mask"].argmax(dim=1))
        if score is not None:
            sums[:, 3] -= score(shown_obs, actions).double().cpu().numpy()
        log.append(actions.cpu().numpy().copy())
        step = batch.step(actions.to(batch.device))
        reward, terminated, truncated, *signals = (
            value.cpu().numpy() for value in (*step[1:4], *(step.signals[name] for name in names))
        )
        sums[:, 0] += reward
        sums[:, 1] += 1
        sums[:, 2] = terminated
        for k, value in enumerate(signals, start=4):
            sums[:, k] += np.nan_to_num(value)
        ended = terminated | truncated
        counted = np.flatnonzero(ended & (level < count))
        found[level[counted]] = sums[counted]
        last[level[counted]] = len(log)
        shown = counted[level[counted] < len(texts)]
        if len(shown):
            told = batch.decode({name: value[shown] for name, value in step.final_obs.items()})
            for k, text in zip(level[shown], told, strict=True):
                texts[k] = text
        level[ended] += rows
        sums[ended] = 0
        obs = step.obs
    returns, lengths, ends, losses, *totals = found.T
    said = np.stack(log)
    per_level = [said[end - int(n) : end, k % rows] for k, (end, n) in enumerate(zip(last, lengths, strict=True))]
    return Played(returns, lengths, ends, losses, dict(zip(names, totals, strict=True)), per_level, texts)


def solutions(batch: BatchEnv) -> list[np.ndarray]:
    """Return the world's own solution of every level.

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


def play_solutions(batch: BatchEnv, plans: list[np.ndarray], score: Score | None = None, seed: int = 0) -> Played:
    """Play every level by its plan, through the environment; the last action is repeated until the end."""
    size = np.array([len(plan) for plan in plans])
    padded = np.stack([plan[np.minimum(np.arange(size.max()), len(plan) - 1)] for plan in plans])

    def act(obs: dict[str, Tensor], level: np.ndarray, t: np.ndarray) -> Tensor:
        plan = level % len(plans)
        return torch.as_tensor(padded[plan, np.minimum(t, size[plan] - 1)])

    return play(batch, act, score, seed=seed)
