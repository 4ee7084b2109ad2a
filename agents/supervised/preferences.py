"""Preference pairs: two texts of the same level, the one that the world's gold reward prefers first.

Both texts are episodes of one policy; their returns decide which is preferred, with label noise if asked for. A reward
model learns from them: see `agents.supervised.reward_model`. K pairs of texts of T tokens.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.evaluation.runner import Act, action_function, as_policy
from llm_envs import make_batch
from llm_envs.engine.batch import BatchEnv
from llm_envs.validation import check_range
from llm_envs.world import World

TEXT = ("tokens", "length")  # the fields of an observation that are used
EPISODES_PER_PAIR = 100  # after so many episodes without a pair its gold reward counts as tied


@dataclass(frozen=True)
class Pairs:
    """K pairs of final texts of the same level, in each the preferred one first."""

    tokens: Tensor  # (K, 2, T) int32, padded on the right
    length: Tensor  # (K, 2) int32
    gold: Tensor  # (K, 2) float32, the episodes' returns; the label may disagree with them, by noise
    levels: Tensor  # (K,) int64, which level of the split

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, chosen: Tensor | slice) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.tokens[chosen], self.length[chosen], self.gold[chosen], self.levels[chosen])

    def to(self, device: torch.device | str) -> "Pairs":
        """Return the pairs on a device."""
        return Pairs(*(value.to(device) for value in (self.tokens, self.length, self.gold, self.levels)))

    def split(self, share: float, seed: int = 0) -> tuple["Pairs", "Pairs"]:
        """Return all pairs but those of a random `share` of the levels, and those; no level is in both.

        Raises:
            ValueError: `share` is not between 0 and 1, or there is only one level.
        """
        if not 0.0 < share < 1.0:
            raise ValueError(f"the share of levels to hold out is {share}; it must be between 0 and 1")
        known, index = self.levels.unique(return_inverse=True)
        if len(known) < 2:
            raise ValueError(f"the {len(self)} pairs are of {len(known)} level; to hold levels out takes at least 2")
        count = min(max(round(share * len(known)), 1), len(known) - 1)
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed)).to(index.device)
        out = torch.isin(index, order[:count])
        return self[~out], self[out]


def preference_pairs(
    world_id: str,
    count: int,
    policy: Any = "random",
    noise: float = 0.0,
    levels_at_once: int = 512,
    seed: int = 0,
    **options: Any,
) -> Pairs:
    """Play pairs of episodes of the same level and prefer the one with the greater return; ties are dropped.

    Args:
        world_id: a world whose observations contain tokens.
        count: number of pairs, K.
        policy: "random", an SB3 model or policy, whose actions are sampled, or a function from observations to actions.
        noise: temperature of the labels, in units of the return: the first of a pair is preferred with probability
            sigmoid((return_1 - return_2) / noise), Bradley and Terry's. 0 for labels without noise.
        levels_at_once: pairs played together.
        seed: of levels, actions and labels.
        options: as `llm_envs.make_batch`: split, device, weights and rewards of the gold return, the world's own.

    Raises:
        ValueError: an argument out of range, a world without tokens, or all but all returns tie.
    """
    check_range("count", count, 1, 2**31 - 1)
    check_range("levels_at_once", levels_at_once, 1, 2**30)
    if not 0.0 <= noise < float("inf"):
        raise ValueError(f"noise is {noise}; it must be finite and not negative")
    # Rows 2 k and 2 k + 1 share a level.
    batch = make_batch(world_id, 2 * levels_at_once, group_size=2, **options)
    check_has_text(batch.world, world_id)
    act, generator = action_function(policy, batch, world_id, False, seed), torch.Generator().manual_seed(seed)
    found: list[Pairs] = []
    devices = {torch.device(batch.device), getattr(as_policy(policy), "device", torch.device("cpu"))}
    with torch.random.fork_rng([device for device in devices if device.type == "cuda"]):
        torch.manual_seed(seed)
        for begin in range(0, EPISODES_PER_PAIR * count // 2, levels_at_once):
            pairs = _play_pairs(batch, act, seed + 2 * begin)  # other seeds are other levels
            # P(first preferred) = sigmoid((return_1 - return_2) / noise); noise 0 is the limit.
            better = (pairs.gold[:, 0] - pairs.gold[:, 1]).cpu().double()
            certain = better > 0
            swap = ~certain if noise == 0 else torch.rand(len(pairs), generator=generator) > (better / noise).sigmoid()
            found.append(_swapped(pairs, swap.to(pairs.gold.device)))
            if sum(map(len, found)) >= count:
                break
    every = [torch.cat([getattr(pairs, name) for pairs in found]) for name in ("tokens", "length", "gold", "levels")]
    if len(every[0]) < count:
        raise ValueError(
            f"{2 * levels_at_once * len(found)} episodes gave {len(every[0])} pairs of {count} whose returns differ; "
            f"choose weights= under which they differ more often, now {batch.weights}"
        )
    return Pairs(*every)[:count]


def _play_pairs(batch: BatchEnv, act: Act, seed: int) -> Pairs:
    """Play each row's first episode after a reset; return the pairs whose returns differ, in the order of the rows."""
    obs = batch.reset(seed)
    levels = torch.as_tensor(batch.level_index[::2].astype("int64"), device=batch.device)
    final = {name: obs[name].clone() for name in TEXT}
    gold = torch.zeros(batch.num_envs, device=batch.device)
    playing = torch.ones(batch.num_envs, dtype=torch.bool, device=batch.device)
    while bool(playing.any()):
        step = batch.step(torch.as_tensor(act(obs), device=batch.device))
        gold += step.reward * playing
        ends = (step.terminated | step.truncated) & playing
        for name, value in final.items():
            value[ends] = step.final_obs[name][ends]
        playing &= ~ends
        obs = step.obs
    gold = gold.view(-1, 2)
    differ = gold[:, 0] != gold[:, 1]
    tokens, length = final["tokens"].unflatten(0, (-1, 2)), final["length"].view(-1, 2)
    return Pairs(tokens, length, gold, levels)[differ]


def _swapped(pairs: Pairs, swap: Tensor) -> Pairs:
    """Return the pairs with the two texts exchanged where `swap` (K,) bool."""
    first = swap.long()
    order, row = torch.stack((first, 1 - first), dim=1), torch.arange(len(pairs), device=swap.device)[:, None]
    return Pairs(pairs.tokens[row, order], pairs.length[row, order], pairs.gold[row, order], pairs.levels)


def check_has_text(world: World, world_id: str) -> None:
    """Raise ValueError unless the world's observations contain its text as tokens."""
    fields = world.observation.names or ()
    if missing := [name for name in TEXT if name not in fields]:
        raise ValueError(
            f"{world_id} in this configuration has {', '.join(fields)}; a reward model needs {' and '.join(missing)}"
        )
