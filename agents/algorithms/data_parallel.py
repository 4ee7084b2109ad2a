"""Data parallel training under torchrun: each rank steps its own rows, all take the same gradient steps.

    group = data_parallel.start()  # None outside torchrun
    env = TensorVecEnv("Tokens/Addition-v0", group.rows_per_rank(1024) if group else 1024)
    model = PPO("TransformerPolicy", env, seed=0, batch_size=4096)
    if group:
        data_parallel.attach(model, group)
    model.learn(1_000_000)

The numbers are those of one process with all rows, up to the order of sums: rank r's rows are its rows r n to
(r + 1) n - 1, with their seeds and their random draws; every minibatch is the same set of states, of which each rank
processes those of its own rows. `batch_size`, `num_timesteps` and `learn`'s total count the rows of all ranks.

`DistributedDataParallel` does not apply: it hooks `forward`, and losses are made of `evaluate`.
"""

import io
import math
from collections.abc import Iterator
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from agents.algorithms.base import OnPolicy
from agents.distributed.group import Group, RankLost, start
from agents.rollouts.buffer import Minibatch, SequenceRolloutBuffer
from llm_envs.adapters.sb3 import TensorVecEnv

__all__ = ["Group", "RankLost", "attach", "start"]


def attach(model: Any, group: Group) -> None:
    """Make `model` one rank's part of a data parallel run: call it on every rank, before `learn`.

    Parameters and the optimiser's state become rank 0's, the environment is seeded for the rank's rows, ranks above 0
    log nothing. Callbacks run on every rank and must make the same decisions; only rank 0's should write files.

    Raises:
        ValueError: the algorithm, its KL term or its environment has no data parallel form, or the ranks differ in
            their rows.
    """
    # Before anything changes, so that a refusal leaves the model as it was.
    check(model, group)
    rows, env = model.env.num_envs, model.env
    seed = group.broadcast(env.batch.seed if model.seed is None else model.seed)
    # Row i of rank r is row r n + i of the single process: same seed, same levels.
    env.seed(seed + group.rank * rows)
    _copy_learner(model.policy, group)
    model.rollout_buffer = DataParallelBuffer(model.rollout_buffer, group)
    model.group = model.collector.group = group
    if group.rank:
        model.verbose = 0
        model.set_logger(Logger(folder=None, output_formats=[]))


def check(model: Any, group: Group) -> None:
    """Raise, on every rank, the ValueError with which `attach` would refuse the model; changes nothing."""
    name = type(model).__name__
    if not isinstance(model, OnPolicy):
        raise ValueError(f"{name} has no data parallel update; the algorithms of `agents` have one")
    if getattr(model, "fisher_share", 1.0) < 1:
        raise ValueError("fisher_share selects other texts with more ranks; data parallel training needs 1")
    if getattr(model, "sub_sampling_factor", 1) > 1:
        raise ValueError("sub_sampling_factor selects other states with more ranks; data parallel training needs 1")
    if not isinstance(model.env, TensorVecEnv):
        raise ValueError(f"data parallel training needs a bare TensorVecEnv, not {type(model.env).__name__}")
    if model.collector is None:
        raise ValueError(f"data parallel training needs a TransformerPolicy, not {type(model.policy).__name__}")
    if model.memory is not None or model.group is not None:
        raise ValueError("data parallel training has no replay, and a model joins one run only; leave out replay")
    if model.env.batch.order == "sweep":
        raise ValueError("order='sweep' counts levels within one batch; data parallel training needs order='random'")
    rows = group.gather_objects(model.env.num_envs)
    if len(set(rows)) > 1:
        raise ValueError(f"the ranks have {rows} rows; all must have the same number")


def _copy_learner(policy: Any, group: Group) -> None:
    """Load rank 0's parameters and optimiser on every rank."""
    raw = io.BytesIO()
    if group.rank == 0:
        torch.save((policy.state_dict(), policy.optimizer.state_dict()), raw)
    sent = io.BytesIO(group.broadcast(raw.getvalue()))
    if group.rank:
        parameters, optimizer = torch.load(sent, map_location="cpu", weights_only=True)
        policy.load_state_dict(parameters)
        policy.optimizer.load_state_dict(optimizer)


class DataParallelBuffer(SequenceRolloutBuffer):
    """One rank's part of a rollout; replaces `buffer`.

    Every rank draws the minibatches of the whole rollout, and yields its own states of each. N rows a rank.
    """

    def __init__(self, buffer: SequenceRolloutBuffer, group: Group) -> None:
        super().__init__(
            buffer.buffer_size,
            buffer.observation_space,
            buffer.action_space,
            buffer.device,
            gae_lambda=buffer.gae_lambda,
            gamma=buffer.gamma,
            n_envs=buffer.n_envs,
            order=buffer.order,
        )
        self.group = group

    def get(self, batch_size: int | None = None) -> Iterator[Minibatch]:
        """Yield this rank's states of minibatches of about `batch_size` states (None: all), of all ranks together.

        A rank without states in a minibatch yields one that is not in it, and that counts for nothing: it must take
        part in the collectives.
        """
        # All ranks permute the indices of the whole rollout; the generators are in step since the rollout began.
        last, tensors, time = self.runs(), self.tensors, self.buffer_size
        lasts = None if last is None else self.group.gather(last, 1)
        unused, advantages = (self.group.gather(tensors[name], 1) for name in ("unused", "advantages"))
        first = self.group.rank * self.n_envs * time  # flat index of this rank's first state
        for chosen in self.minibatches(self.permutation(unused), lasts, batch_size):
            own = chosen - first
            own = own[(own >= 0) & (own < self.n_envs * time)]
            states = self.samples(own if len(own) else chosen.new_zeros(1), last)
            of_all = advantages[chosen % time, chosen // time]  # (M,), the minibatch's of all ranks
            yield states._replace(total=len(chosen) if len(own) else math.inf, all_advantages=of_all)
