"""TRPO (Schulman et al., 2015), with sb3-contrib's numbers.

Maximise mean(r A) while the KL to the old policy is below delta: along the natural gradient F^-1 g as far as the
quadratic model of the KL allows, and back from there until objective and KL agree. g comes from one backward pass,
products with the Fisher matrix F from `agents.algorithms.fisher`. M states of a rollout, K parameters.
"""

from copy import copy
from typing import Any, ClassVar

import numpy as np
import torch
from sb3_contrib import TRPO as StockTRPO
from sb3_contrib.common.utils import conjugate_gradient_solver
from stable_baselines3.common.distributions import Distribution, kl_divergence
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from agents.algorithms.base import OnPolicy
from agents.algorithms.fisher import FisherProduct, subsample
from agents.algorithms.update import Diagnostics, of_all_ranks, sum_gradients
from agents.distributed.group import Group
from agents.objectives.losses import surrogate, value_loss, weighted_mean
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import Minibatch, SequenceRolloutBuffer


class TRPO(OnPolicy, StockTRPO):
    """sb3-contrib's TRPO on a `TensorVecEnv`: `TRPO("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`.

    Args:
        args: sb3-contrib's. Its `sub_sampling_factor` omits states, but each text is still read to its end.
        fisher_share: share of the rollout's texts, or of its states where there are no texts, that the Fisher matrix is
            estimated from; the objective and the line search use all. Schulman et al. (2015, appendix C) took a tenth.
        kwargs: sb3-contrib's, and `kl` with place="reward".

    Raises:
        ValueError: a share outside (0, 1], a KL term in the loss, or a backbone with dropout: the KL between two passes
            would then measure the dropped units.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockTRPO.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }

    def __init__(self, *args: Any, fisher_share: float = 1.0, **kwargs: Any) -> None:
        self.fisher_share = fisher_share
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        if not 0 < self.fisher_share <= 1:
            raise ValueError(f"fisher_share is {self.fisher_share}; it must be in (0, 1]")
        super()._setup_model()
        # Of heads and trunk: nn.Dropout modules, and the functional dropout of our backbones.
        dropout = [m.p for m in self.policy.modules() if isinstance(m, nn.Dropout)]
        dropout += [getattr(getattr(getattr(self.policy, "trunk", None), "config", None), "dropout", 0.0)]
        if self.kl is not None and self.kl.place == "loss":
            raise ValueError("place is 'loss'; TRPO's loss has no such term: use kl={'place': 'reward', ...}")
        if max(dropout) > 0:
            raise ValueError(f"dropout is {max(dropout)}; TRPO's line search compares two passes and needs 0")

    def train(self) -> None:
        """Take one natural gradient step on the newest rollout, then fit the critic to it."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        (batch,) = self.minibatches(None)
        if self.sub_sampling_factor > 1:
            batch = _every(self.sub_sampling_factor, batch)
        actor, terms = self._improve_actor(batch)
        terms["value_loss"] = self._fit_critic(actor)
        self._n_updates += 1
        self.log_update(terms)

    def _improve_actor(self, batch: Minibatch) -> tuple[list[nn.Parameter], dict[str, float]]:
        """Take the natural gradient step; return the actor's parameters, and what to log."""
        policy, group, total, obs = self.policy, self.group, batch.total, batch.observations
        batch = batch._replace(advantages=self.normalized_advantages(batch))
        distribution = copy(policy.get_distribution(obs))  # SB3's policies change theirs in place
        objective = self._objective(distribution, batch)
        # Parameters that the objective does not reach (the critic's) have gradient None and are left out.
        training = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        found = torch.autograd.grad(objective, training, retain_graph=True, allow_unused=True)
        actor = [parameter for parameter, part in zip(training, found, strict=True) if part is not None]
        gradient = torch.cat([part.reshape(-1) for part in found if part is not None])  # g, (K,)
        fisher = self._fisher(actor, obs, distribution, total)

        def product(vector: Tensor) -> Tensor:
            """Return F v + damping v, (K,)."""
            return _sum(fisher(vector), group) + self.cg_damping * vector

        direction = conjugate_gradient_solver(product, _sum(gradient, group), max_iter=self.cg_max_steps)  # F^-1 g
        # The longest step that the quadratic model allows: s = sqrt(2 delta / d^T F d), their appendix C.
        direction *= np.sqrt(2 * self.target_kl / float(direction @ product(direction)))
        old, start = _detached(distribution), nn.utils.parameters_to_vector(actor).detach().clone()
        before = of_all_ranks({"policy_objective": objective}, group)["policy_objective"]
        terms, shrunk, success = {"policy_objective": float(before), "kl_divergence_loss": 0.0}, 1.0, False
        with torch.no_grad():
            for _ in range(self.line_search_max_iter):
                _write(start + shrunk * direction, actor)
                now = policy.get_distribution(obs)
                objective, kl = self._objective(now, batch), _mean_kl(now, old, total)
                after = of_all_ranks({"policy_objective": objective, "kl_divergence_loss": kl}, group)
                if after["kl_divergence_loss"] < self.target_kl and after["policy_objective"] > before:
                    terms, success = {name: float(value) for name, value in after.items()}, True
                    break
                shrunk *= self.line_search_shrinking_factor
            if not success:
                _write(start, actor)
        return actor, {**terms, "is_line_search_success": float(success)}

    def _objective(self, distribution: Distribution, batch: Minibatch) -> Tensor:
        """Return mean(r A), which is to grow."""
        log_prob = distribution.log_prob(batch.actions)
        return surrogate(log_prob, batch.old_log_prob, batch.advantages, batch.weights, batch.total)

    def _fisher(
        self, actor: list[nn.Parameter], obs: Any, distribution: Distribution, total: float | None
    ) -> FisherProduct:
        """Return products with the Fisher matrix of the states, or of the share of them that was asked for."""
        if self.fisher_share == 1:
            return FisherProduct(self.policy, actor, obs, distribution, total)
        some = subsample(obs, self.fisher_share)
        return FisherProduct(self.policy, actor, some, self.policy.get_distribution(some))

    def _fit_critic(self, actor: list[nn.Parameter]) -> float:
        """Regress the values to the returns; return the mean loss.

        As in sb3-contrib the gradients of parameters that the actor uses are dropped, for the sake of the KL's bound.
        So the features of the whole rollout are constant, and computed once.
        """
        policy, found, features = self.policy, Diagnostics(), None
        if isinstance(self.rollout_buffer, SequenceRolloutBuffer):
            everything = torch.arange(self._buffer.buffer_size * self._buffer.n_envs, device=self.device)
            with torch.no_grad():
                features = policy.features(self._buffer.samples(everything, self._buffer.runs()).observations)
        for _ in range(self.n_critic_updates):
            for batch in self.minibatches(self.batch_size):
                if features is not None:
                    values = policy.value_net(features[batch.flat])
                else:
                    values = policy.predict_values(batch.observations)
                loss = value_loss(values.flatten(), batch.returns, total=batch.total)
                found.add(of_all_ranks({"value_loss": loss}, self.group))
                policy.optimizer.zero_grad()
                loss.backward()
                for parameter in actor:
                    parameter.grad = None
                sum_gradients(policy.parameters(), self.group)
                policy.optimizer.step()
        return found.means()["value_loss"]


def _sum(vector: Tensor, group: Group | None) -> Tensor:
    """Return the sum of the ranks' shares."""
    return vector if group is None else group.sum(vector)


def _write(vector: Tensor, parameters: list[nn.Parameter]) -> None:
    """Set the parameters to the entries of a vector (K,), in place: captured CUDA graphs know their addresses."""
    for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        parameter.copy_(part.view_as(parameter))


def _mean_kl(new: Distribution, old: Distribution, total: float | None) -> Tensor:
    """Return mean KL(new || old), as sb3-contrib has it: of a Gaussian also over the action's entries."""
    kl = kl_divergence(new, old)  # (M,) or (M, A)
    return weighted_mean(kl if kl.dim() == 1 else kl.mean(dim=1), None, total)


def _detached(distribution: Distribution) -> Distribution:
    """Return a copy of a distribution without its graph."""
    found, inner = copy(distribution), distribution.distribution
    if isinstance(inner, torch.distributions.Categorical):
        found.distribution = torch.distributions.Categorical(logits=inner.logits.detach())
    else:
        assert isinstance(inner, torch.distributions.Normal)
        found.distribution = torch.distributions.Normal(inner.loc.detach(), inner.scale.detach())
    return found


def _every(k: int, batch: Minibatch) -> Minibatch:
    """Return every k-th state."""
    obs = batch.observations
    some = {name: value[::k] for name, value in obs.items()} if isinstance(obs, dict) else obs[::k]
    rest = (value[::k] if isinstance(value, Tensor) else value for value in batch[1:])
    return Minibatch(some, *rest)  # type: ignore[arg-type]
