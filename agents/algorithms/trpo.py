"""TRPO (Schulman et al., 2015) as sb3-contrib has it, with its two costly steps replaced.

`train()` is sb3-contrib's: conjugate gradients, line search, critic. The two replacements give the same numbers:

1. The gradients of all parameters come from one backward pass. sb3-contrib takes one for each parameter, and leaves
   out every parameter with "value" in its name.
2. The Fisher product is Gauss-Newton's, one forward-mode and one backward pass, instead of differentiating twice
   through attention, which its fused kernels do not support.

M states, A actions.
"""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from sb3_contrib import TRPO as StockTRPO
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.algorithms.kl_regularizer import Regularized
from agents.policies.packing import Sequences, flat_indices
from agents.policies.policy import TransformerPolicy


class TRPO(Regularized, StockTRPO):
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
    policy: TransformerPolicy  # type: ignore[assignment]

    def __init__(self, *args: Any, fisher_share: float = 1.0, **kwargs: Any) -> None:
        if not 0 < fisher_share <= 1:
            raise ValueError(f"fisher_share is {fisher_share}; it must be in (0, 1]")
        self.fisher_share = fisher_share
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        # Of heads and trunk: nn.Dropout modules, and the functional dropout of our backbones.
        dropout = [m.p for m in self.policy.modules() if isinstance(m, nn.Dropout)]
        dropout += [getattr(getattr(self.policy.trunk, "config", None), "dropout", 0.0)]
        if self.kl is not None and self.kl.place == "loss":
            raise ValueError("place is 'loss'; TRPO's loss has no such term: use kl={'place': 'reward', ...}")
        if max(dropout) > 0:
            raise ValueError(f"dropout is {max(dropout)}; TRPO's line search compares two passes and needs 0")

    def train(self) -> None:
        """Update the policy by sb3-contrib's `train()`, with the replacements below."""
        # sb3-contrib calls these methods on the policy and the algorithm; instance attributes shadow them meanwhile.
        actor = _Actor(self.policy, self.fisher_share)
        self._actor = actor
        self.policy.get_distribution, self.policy.predict_values = actor.get_distribution, self._predict_values  # type: ignore[method-assign]
        self._frozen_features: Tensor | None = None
        memory = [parameter.data for parameter in self.policy.parameters()]
        try:
            super().train()
        finally:
            del self.policy.get_distribution, self.policy.predict_values, self._actor, self._frozen_features
        # The line search binds `data` to new memory, but captured CUDA graphs know the old addresses: copy back.
        for parameter, original in zip(self.policy.parameters(), memory, strict=True):
            if parameter.data_ptr() != original.data_ptr():
                original.copy_(parameter.data)
                parameter.data = original

    def _compute_actor_grad(
        self, kl_div: Tensor, policy_objective: Tensor
    ) -> tuple[list[nn.Parameter], Tensor, Tensor, list[tuple[int, ...]]]:
        """Return the actor's parameters, both flat gradients and the parameters' shapes, from one backward pass.

        The gradient of the KL, zero at the old policy, is not computed: our `hessian_vector_product` does not use it.
        """
        # Parameters that the objective does not reach (the critic's) have gradient None and are left out.
        training = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(policy_objective, training, retain_graph=True, allow_unused=True)
        found = [(parameter, g) for parameter, g in zip(training, gradients, strict=True) if g is not None]
        flat = torch.cat([gradient.reshape(-1) for _, gradient in found])
        return [p for p, _ in found], flat, torch.zeros_like(flat), [tuple(p.shape) for p, _ in found]

    def hessian_vector_product(
        self, params: list[nn.Parameter], grad_kl: Tensor, vector: Tensor, retain_graph: bool = True
    ) -> Tensor:
        """Return F v + damping v, F = (1/M) sum_m J_m^T H_m J_m, with H_m the Hessian of KL in the outputs of state m.

        Exact at the old policy, where the KL is taken. H is diag(p) - p p^T for logits (Martens, 2020, section 8), and
        (1/sigma^2, 2) on the diagonal for a Gaussian's mean and log standard deviation.
        """
        return self._actor.fisher_product(params, vector) + self.cg_damping * vector

    def _predict_values(self, obs: Any) -> Tensor:
        """Return values (M, 1) from features that are computed once an update.

        sb3-contrib drops the critic's gradients of parameters that the actor uses, so while the critic trains the
        features of the whole rollout are constant.
        """
        flat = flat_indices(obs)
        if flat is None:
            return type(self.policy).predict_values(self.policy, obs)
        if self._frozen_features is None:
            buffer: Any = self.rollout_buffer
            indices = torch.arange(buffer.buffer_size * buffer.n_envs, device=self.device)
            with torch.no_grad():
                self._frozen_features = self.policy.features(buffer.samples(indices, buffer.runs()).observations)
        return self.policy.value_net(self._frozen_features[flat])


class _Actor:
    """The policy's distribution at the states of the update, and products with its Fisher matrix."""

    def __init__(self, policy: TransformerPolicy, share: float) -> None:
        self.policy, self.share = policy, share
        self.outputs: Tensor | None = None

    def get_distribution(self, obs: Any) -> Distribution:
        """Return the policy's distribution; with gradients on, also remember what the Fisher matrix is to be of."""
        distribution = type(self.policy).get_distribution(self.policy, obs)
        if torch.is_grad_enabled():
            self.obs, self.outputs = obs, _outputs(distribution)
            if self.share < 1:
                self.obs = subsample(obs, self.share)
                self.outputs = _outputs(type(self.policy).get_distribution(self.policy, self.obs))
        return distribution

    def fisher_product(self, params: list[nn.Parameter], vector: Tensor) -> Tensor:
        """Return F v, (K,), for the K entries of `params`, flat, and a vector v (K,)."""
        assert self.outputs is not None
        policy, chosen = self.policy, {id(parameter) for parameter in params}
        primals = {name: p.detach() for name, p in policy.named_parameters() if id(p) in chosen}
        pieces = vector.split([parameter.numel() for parameter in primals.values()])
        tangents = {name: piece.view_as(primals[name]) for name, piece in zip(primals, pieces, strict=True)}

        def outputs(values: dict[str, Tensor]) -> Tensor:
            # tie_weights=False: with True functional_call leaves plain tensors in place of parameters that have two
            # names, as those of SB3's features extractors have; the line search would then change tensors that the
            # optimizer does not know.
            return functional_call(
                _Outputs(policy), {f"policy.{k}": v for k, v in values.items()}, (self.obs,), tie_weights=False
            )

        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no forward-mode derivative
            tangent = jvp(outputs, (primals,), (tangents,))[1]  # J v, (M, A)
        if isinstance(policy.action_dist, CategoricalDistribution):
            p = self.outputs.detach().softmax(dim=1)
            cotangent = p * (tangent - (p * tangent).sum(dim=1, keepdim=True))  # (diag(p) - p p^T) J v
        else:
            size = tangent.shape[1] // 2
            log_std = self.outputs.detach()[:, size:]
            cotangent = tangent * torch.cat((torch.exp(-2 * log_std), torch.full_like(log_std, 2.0)), dim=1)
            cotangent = cotangent / size  # sb3-contrib averages the KL over the action's entries, too
        # J^T (H J v) / M
        gradients = torch.autograd.grad(self.outputs, params, cotangent / len(cotangent), retain_graph=True)
        return torch.cat([gradient.reshape(-1) for gradient in gradients])


def subsample(obs: Any, share: float) -> Any:
    """Return the states of a share of the texts, evenly spaced, or a share of the states where there are no texts."""
    if isinstance(obs, Sequences):
        # i * share crosses a whole number for a share of the texts i, evenly spaced.
        kept = torch.arange(len(obs.lengths), device=obs.lengths.device) * share % 1 < share
        states = obs[kept[obs.sequence]]  # states of the texts that are kept
        texts = {name: value[kept] for name, value in obs.texts.items()}
        return replace(states, texts=texts, lengths=obs.lengths[kept], sequence=(kept.cumsum(0) - 1)[states.sequence])
    step = round(1 / share)
    return {name: value[::step] for name, value in obs.items()}


class _Outputs(nn.Module):
    """A module whose `forward` returns the actor's outputs, for `functional_call`."""

    def __init__(self, policy: TransformerPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Any) -> Tensor:
        """Return the outputs, (M, A) or (M, 2 A); see `_outputs`."""
        return _outputs(type(self.policy).get_distribution(self.policy, obs))


def _outputs(distribution: Distribution) -> Tensor:
    """Return log-probabilities (M, A), or means beside log standard deviations (M, 2 A)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.distribution.logits
    normal = distribution.distribution
    assert isinstance(normal, torch.distributions.Normal)
    return torch.cat((normal.loc, normal.scale.log()), dim=1)
