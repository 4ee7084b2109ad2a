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

`DistributedDataParallel` does not apply: it hooks `forward`, and SB3's `train()` calls `evaluate_actions`.
"""

import io
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from stable_baselines3.common.utils import explained_variance
from torch import Tensor

from agents.algorithms.trpo import TRPO
from agents.distributed.group import Group, RankLost, start
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.collector import OnDeviceRollouts
from llm_envs.adapters.sb3 import TensorVecEnv

__all__ = ["Group", "RankLost", "attach", "start"]

# What train() logs that is a mean over states: averaged over ranks.
MEANS = ("approx_kl", "clip_fraction", "entropy_loss", "kl_divergence_loss", "loss", "value_loss")


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
    model.group, model.data_parallel_context = group, partial(_data_parallel_context, model, group)
    if group.rank:
        model.verbose = 0
        model.set_logger(Logger(folder=None, output_formats=[]))


def check(model: Any, group: Group) -> None:
    """Raise, on every rank, the ValueError with which `attach` would refuse the model; changes nothing."""
    name = type(model).__name__
    if not isinstance(model, OnDeviceRollouts):
        raise ValueError(f"{name} has no data parallel update; the algorithms of `agents` have one")
    if getattr(model, "fisher_share", 1.0) < 1:
        raise ValueError("fisher_share selects other texts with more ranks; data parallel training needs 1")
    if getattr(model, "sub_sampling_factor", 1) > 1:
        raise ValueError("sub_sampling_factor selects other states with more ranks; data parallel training needs 1")
    if not isinstance(model.env, TensorVecEnv):
        raise ValueError(f"data parallel training needs a bare TensorVecEnv, not {type(model.env).__name__}")
    if type(model.rollout_buffer) is not SequenceRolloutBuffer:  # one with replay, or of an earlier attach
        raise ValueError(f"data parallel training has no {type(model.rollout_buffer).__name__}; leave out replay")
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
        self.normalized = False  # whether to yield advantages normalised as SB3's train() does
        self.weight = 1.0  # of this rank in the newest minibatch: its share of the states
        # A subclass that knows this buffer: losses are computed by SB3, which passes on nothing but tensors.
        self.tensor_type = type("GlobalMeanTensor", (GlobalMeanTensor,), {"average": staticmethod(self.average)})

    def average(self, value: Tensor) -> Tensor:
        """Return the mean over the newest minibatch's states of all ranks, given this rank's mean `value`."""
        return self.group.sum(value * self.weight)

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield this rank's states of minibatches of about `batch_size` states (None: all), of all ranks together.

        A rank without states in a minibatch yields one that is not in it, with weight 0: it must take part in the
        collectives.
        """
        # All ranks permute the indices of the whole rollout; the generators are in step since the rollout began.
        last, tensors, time = self.runs(), self.tensors, self.buffer_size
        lasts = None if last is None else self.group.gather(last, 1)
        unused, advantages = (self.group.gather(tensors[name], 1) for name in ("unused", "advantages"))
        first = self.group.rank * self.n_envs * time  # flat index of this rank's first state
        for chosen in self.minibatches(self.permutation(unused), lasts, batch_size):
            own = chosen - first
            own = own[(own >= 0) & (own < self.n_envs * time)]
            self.weight = len(own) / len(chosen)
            samples = self.samples(own if len(own) else chosen.new_zeros(1), last)
            if self.normalized and len(chosen) > 1:
                of_all = advantages[chosen % time, chosen // time]  # (M,), the minibatch's of all ranks
                scaled = (samples.advantages - of_all.mean()) / (of_all.std() + 1e-8)
                samples = samples._replace(advantages=scaled)
            yield samples._replace(advantages=samples.advantages.as_subclass(self.tensor_type))


class GlobalMeanTensor(Tensor):
    """A tensor over a rank's states whose mean is that over the states of all ranks.

    The objective then has the same value on all ranks, which is logged and which decides TRPO's line search. Its
    gradient is that of the rank's own mean: gradients are averaged later, once for all parameters.
    """

    average: Callable[[Tensor], Tensor]

    def mean(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean over all ranks."""
        own = self.as_subclass(Tensor).mean(*args, **kwargs)
        return self.average(own.detach()) + (own - own.detach())  # the second term is 0 and has the gradient


class GlobalLimit:
    """`target_kl`, compared with the KL over all ranks: PPO's `kl > 1.5 * target_kl`, TRPO's `kl < target_kl`."""

    __array_ufunc__ = None  # NumPy then turns `kl > limit` into `limit < kl`

    def __init__(self, limit: float, buffer: DataParallelBuffer) -> None:
        self.limit, self.buffer = limit, buffer

    def __rmul__(self, factor: float) -> "GlobalLimit":
        return GlobalLimit(factor * self.limit, self.buffer)

    def __truediv__(self, number: float) -> float:
        return self.limit / number

    def __lt__(self, kl: Any) -> bool:
        return self.limit < self._of_all(kl)

    def __gt__(self, kl: Any) -> bool:
        return self.limit > self._of_all(kl)

    def _of_all(self, kl: Any) -> float:
        return self.buffer.average(torch.tensor([float(kl)], dtype=torch.float64)).item()


@contextmanager
def _data_parallel_context(model: Any, group: Group) -> Iterator[None]:
    """Let SB3's `train()`, written for one process, take the gradient steps of the whole minibatches.

    It clips gradients between `backward` and `step`; they must be averaged before that, so both happen in the
    optimizer's pre-step hook, and SB3's own clip gets an infinite bound.
    """
    buffer, policy = model.rollout_buffer, model.policy
    # TRPO's critic step is not clipped, nor is its natural gradient.
    clips = not isinstance(model, TRPO)
    names = [name for name in ("normalize_advantage", "max_grad_norm", "target_kl") if hasattr(model, name)]
    saved = {name: getattr(model, name) for name in names}

    def reduce_and_clip(*_: Any) -> None:
        trained = [parameter for parameter in policy.parameters() if parameter.grad is not None]
        total = buffer.average(torch.cat([parameter.grad.flatten() for parameter in trained]))  # one reduction for all
        for parameter, gradient in zip(trained, total.split([p.numel() for p in trained]), strict=True):
            parameter.grad.copy_(gradient.view_as(parameter))
        if clips:
            torch.nn.utils.clip_grad_norm_(policy.parameters(), saved["max_grad_norm"])

    def actor_gradient(*losses: Tensor) -> tuple:
        parameters, gradient, kl_gradient, shapes = type(model)._compute_actor_grad(model, *losses)
        return parameters, buffer.average(gradient), kl_gradient, shapes

    def fisher_product(*args: Any, **kwargs: Any) -> Tensor:
        return buffer.average(type(model).hessian_vector_product(model, *args, **kwargs))

    hook = policy.optimizer.register_step_pre_hook(reduce_and_clip)
    buffer.normalized = saved["normalize_advantage"]
    model.normalize_advantage, model.max_grad_norm = False, math.inf
    if saved.get("target_kl") is not None:
        model.target_kl = GlobalLimit(saved["target_kl"], buffer)
    if isinstance(model, TRPO):
        model._compute_actor_grad, model.hessian_vector_product = actor_gradient, fisher_product  # type: ignore
    try:
        yield
    finally:
        hook.remove()
        if isinstance(model, TRPO):
            del model._compute_actor_grad, model.hessian_vector_product
        for name, value in saved.items():
            setattr(model, name, value)
    _record(model, group)


def _record(model: Any, group: Group) -> None:
    """Replace the values that `train()` logged for this rank by those of all ranks.

    Losses are unweighted means over ranks: equal to one process's where all ranks have as many states in a minibatch.
    """
    known = model.logger.name_to_value
    names = [f"train/{name}" for name in MEANS if f"train/{name}" in known]
    means = group.sum(torch.tensor([known[name] for name in names], dtype=torch.float64)) / group.size
    for name, mean in zip(names, means.tolist(), strict=True):
        model.logger.record(name, mean)
    # Explained variance is no mean: it needs the values of all ranks.
    values, returns = (group.gather(model.rollout_buffer.tensors[name], 1) for name in ("values", "returns"))
    explained = explained_variance(values.flatten().cpu().numpy(), returns.flatten().cpu().numpy())
    model.logger.record("train/explained_variance", explained)
