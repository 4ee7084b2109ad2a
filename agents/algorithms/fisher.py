"""Products with the Fisher matrix of a policy, without the matrix.

Gauss-Newton's form, one forward-mode and one backward pass, in place of differentiating twice through attention, which
its fused kernels do not support; the numbers are the same. M states, A actions, K parameters.
"""

from dataclasses import replace
from typing import Any

import torch
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.policies.packing import Sequences
from agents.policies.policy import TransformerPolicy


class FisherProduct:
    """v -> F v, both (K,), with F = (1/M) sum_m J_m^T H_m J_m and H_m the Hessian of KL in the outputs of state m.

    Exact where the distribution was computed. H is diag(p) - p p^T for logits (Martens, 2020, section 8), and
    (1/sigma^2, 2) on the diagonal for a Gaussian's mean and log standard deviation.

    Args:
        policy: whose matrix it is.
        parameters: of the K columns.
        obs: M states.
        distribution: the policy's at these states, with its graph.
        total: M, of all ranks; None: the states given.
    """

    def __init__(
        self,
        policy: TransformerPolicy,
        parameters: list[nn.Parameter],
        obs: Any,
        distribution: Distribution,
        total: float | None = None,
    ) -> None:
        self.policy, self.parameters, self.obs = policy, parameters, obs
        self.outputs = outputs(distribution)
        self.total = len(self.outputs) if total is None else total
        self.discrete = isinstance(distribution, CategoricalDistribution)

    def __call__(self, vector: Tensor) -> Tensor:
        """Return F v, (K,), of v (K,); of the part of the sum over m that this rank has."""
        tangent = self._jvp(vector)  # J v, (M, A)
        if self.discrete:
            p = self.outputs.detach().softmax(dim=1)
            cotangent = p * (tangent - (p * tangent).sum(dim=1, keepdim=True))  # (diag(p) - p p^T) J v
        else:
            size = tangent.shape[1] // 2
            log_std = self.outputs.detach()[:, size:]
            cotangent = tangent * torch.cat((torch.exp(-2 * log_std), torch.full_like(log_std, 2.0)), dim=1)
            cotangent = cotangent / size  # sb3-contrib averages the KL over the action's entries, too
        # J^T (H J v) / M
        gradients = torch.autograd.grad(self.outputs, self.parameters, cotangent / self.total, retain_graph=True)
        return torch.cat([gradient.reshape(-1) for gradient in gradients])

    def _jvp(self, vector: Tensor) -> Tensor:
        """Return the derivative of the outputs along a change of the parameters (K,): (M, A) or (M, 2 A)."""
        policy, chosen = self.policy, {id(parameter) for parameter in self.parameters}
        primals = {name: p.detach() for name, p in policy.named_parameters() if id(p) in chosen}
        pieces = vector.split([parameter.numel() for parameter in primals.values()])
        tangents = {name: piece.view_as(primals[name]) for name, piece in zip(primals, pieces, strict=True)}

        def run(values: dict[str, Tensor]) -> Tensor:
            # tie_weights=False: with True functional_call leaves plain tensors in place of parameters that have two
            # names, as those of SB3's features extractors have; the line search would then change tensors that the
            # optimizer does not know.
            return functional_call(
                _Outputs(policy), {f"policy.{k}": v for k, v in values.items()}, (self.obs,), tie_weights=False
            )

        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no forward-mode derivative
            return jvp(run, (primals,), (tangents,))[1]


class _Outputs(nn.Module):
    """A module whose `forward` returns the actor's outputs, for `functional_call`."""

    def __init__(self, policy: TransformerPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Any) -> Tensor:
        """Return the outputs, (M, A) or (M, 2 A); see `outputs`."""
        return outputs(self.policy.get_distribution(obs))


def outputs(distribution: Distribution) -> Tensor:
    """Return log-probabilities (M, A), or means beside log standard deviations (M, 2 A)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.distribution.logits
    normal = distribution.distribution
    assert isinstance(normal, torch.distributions.Normal)
    return torch.cat((normal.loc, normal.scale.log()), dim=1)


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
