"""Advantages, returns and value targets as functions of tensors, and token weights for means over episodes.

T steps, N rows; B groups (prompts) of G episodes each; E episodes with M tokens among them. All are pure but for
`MovingAverage`, keep the inputs' dtype, and never wait for the device. `docs/reference/estimators.md` has them in one
table.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from llm_envs.validation import check_choice

MEANS = ("token", "sequence", "episode")


class Advantages(NamedTuple):
    """What a rollout's steps are weighed by, (T, N) each."""

    advantages: Tensor
    returns: Tensor  # targets of the values
    weights: Tensor | None = None  # of the steps' terms in the policy loss; None: all count the same


def generalized_advantage(
    rewards: Tensor, values: Tensor, last_values: Tensor, dones: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Return GAE(gamma, lambda) advantages (T, N) (Schulman et al., 2016, eq. 16).

    Args:
        rewards: (T, N). A truncated step's must already contain gamma V(final observation).
        values: (T, N), V of the observation before each step.
        last_values: (N,), V of the observations after the last step.
        dones: (T, N) bool, whether the step ended its episode: cuts the bootstrap and the trace.
        gamma: discount.
        gae_lambda: 0 is the one-step advantage, 1 the return less the value.
    """
    advantages, running = torch.zeros_like(rewards), torch.zeros_like(last_values)
    not_done = 1.0 - dones.to(rewards.dtype)
    for t in reversed(range(len(rewards))):
        next_values = values[t + 1] if t + 1 < len(rewards) else last_values
        # delta_t = r_t + gamma V(s_{t+1}) - V(s_t)
        delta = rewards[t] + gamma * next_values * not_done[t] - values[t]
        # A_t = delta_t + gamma lambda A_{t+1}
        running = delta + gamma * gae_lambda * not_done[t] * running
        advantages[t] = running
    return advantages


def returns_to_go(rewards: Tensor, dones: Tensor, gamma: float) -> Tensor:
    """Return the discounted sum of rewards from each step to its episode's end, (T, N) (Sutton & Barto, 2018, eq. 3.9).

    Meant for whole episodes: where a row's last episode continues after step T, its sum stops there, without bootstrap.
    ValueError unless rewards (T, N) and dones (T, N) bool have one shape.
    """
    _check_shapes("rewards", rewards, dones=dones)
    returns, running = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
    not_done = 1.0 - dones.to(rewards.dtype)
    for t in reversed(range(len(rewards))):
        running = rewards[t] + gamma * not_done[t] * running  # G_t = r_t + gamma G_{t+1}
        returns[t] = running
    return returns


def leave_one_out(returns: Tensor) -> Tensor:
    """Return RLOO's advantages (B, G) of episodes' returns (B, G): each less the mean of the other G - 1 of its group.

    The baseline does not depend on the episode it is taken from, so the gradient stays unbiased (Kool et al., 2019,
    "Buy 4 REINFORCE samples, get a baseline for free!"; for language models Ahmadian et al., 2024, "Back to basics").
    ValueError for groups of fewer than two.
    """
    size = _group_size(returns)
    others = (returns.sum(1, keepdim=True) - returns) / (size - 1)  # (B, G), mean of the other G - 1
    return returns - others


def group_normalized(returns: Tensor, scale: bool = True, eps: float = 1e-4) -> Tensor:
    """Return GRPO's advantages (B, G) of episodes' returns (B, G): (return - mean) / (std + eps) over each group.

    GRPO: Shao et al., 2024 (DeepSeekMath), section 4.1.2. The paper leaves the kind of deviation open; here it is the
    sample's (divided by G - 1), with eps = 1e-4, as in TRL. `scale=False` is Dr. GRPO (Liu et al., 2025): the mean is
    subtracted and nothing divided, so that a group with nearly equal returns does not count more than others.
    ValueError for groups of fewer than two.
    """
    _group_size(returns)
    centred = returns - returns.mean(1, keepdim=True)
    return centred / (returns.std(1, keepdim=True) + eps) if scale else centred


class MovingAverage:
    """A baseline for REINFORCE (Williams, 1992): the exponential mean of earlier batches' returns.

    Read `value` before calling `update` with the same batch: a baseline that depends on the episode it is subtracted
    from biases the gradient. The start at 0 is corrected for as in Adam (Kingma & Ba, 2015, section 3). `total` and
    `weight` are float32 scalars on `device`, changed in place; they are pickled with it.

    Raises ValueError for a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.9, device: torch.device | str = "cpu") -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay is {decay}; it must be in [0, 1)")
        self.decay = decay
        self.total = torch.zeros((), device=device)  # exponentially weighted sum of the batches' means
        self.weight = torch.zeros((), device=device)  # sum of the weights: 1 - decay^updates

    @property
    def value(self) -> Tensor:
        """The mean so far, a scalar; 0 before the first update."""
        return torch.where(self.weight > 0, self.total / self.weight, 0.0)

    def update(self, returns: Tensor, mask: Tensor | None = None) -> None:
        """Add a batch of episodes' returns, of any shape; those where `mask` (bool) is False do not count."""
        real = torch.ones_like(returns) if mask is None else mask.to(returns.dtype)
        count = real.sum()
        mean = (returns.detach() * real).sum() / count.clamp(min=1.0)
        rate = (1.0 - self.decay) * (count > 0)  # a batch without episodes changes nothing
        self.total += rate * (mean - self.total)
        self.weight += rate * (1.0 - self.weight)


def token_weights(lengths: Tensor, how: str) -> Tensor:
    """Return the weight of every token of each of E episodes, (E,) float32.

    A2C's loss -mean(A log_prob) over the M tokens becomes, with weight * A in place of A,

        token      1              -1/M sum_i sum_t A log_prob          each token counts the same
        sequence   M / (E len_i)  -1/E sum_i 1/len_i sum_t A log_prob  each episode counts the same (GRPO, eq. 3)
        episode    M / E          -1/E sum_i sum_t A log_prob          REINFORCE, RLOO, Dr. GRPO: log-probs add up

    PPO's clipped loss is homogeneous in A, so the same holds there, as long as advantages are not normalised after
    weighting. An episode of length 0 (an unused slot) gets 0 and does not count towards E.

    Args:
        lengths: (E,), number of tokens that the policy generated in each episode of a minibatch: len_i, sum M.
        how: "token", "sequence" or "episode"; ValueError for another.
    """
    check_choice("how", how, MEANS)
    real = (lengths > 0).to(torch.float32)
    if how == "token":
        return real
    per_episode = lengths.sum() / real.sum().clamp(min=1.0)  # M / E
    return real * per_episode / (lengths.clamp(min=1) if how == "sequence" else 1.0)


@torch.no_grad()
def vtrace(
    old_log_probs: Tensor,
    log_probs: Tensor,
    rewards: Tensor,
    values: Tensor,
    last_values: Tensor,
    dones: Tensor,
    gamma: float,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
    gae_lambda: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return V-trace's value targets v_s and advantages A_s, (T, N) each (Espeholt et al., 2018, eq. 1, section 4.2).

        v_s = V_s + sum_{t >= s} gamma^(t-s) (prod_{s <= i < t} c_i) rho_t (r_t + gamma V_{t+1} - V_t)
        A_s = rho_s (r_s + gamma v_{s+1} - V_s)
        rho = min(rho_bar, pi/mu),  c = gae_lambda min(c_bar, pi/mu)  (their remark 2)

    Args:
        old_log_probs: (T, N), of the actions under the policy that acted, mu.
        log_probs: (T, N), under the policy that learns, pi.
        rewards: (T, N). A truncated step's must already contain gamma V(final observation).
        values: (T, N), V of the observation before each step.
        last_values: (N,), V of the observations after the last step.
        dones: (T, N) bool: ends the sum and cuts the bootstrap.
        gamma: discount.
        rho_bar: bound of rho.
        c_bar: bound of c.
        gae_lambda: factor of c.

    The advantage contains its importance weight: the loss is -mean(A log_prob).

    Raises:
        ValueError: unequal shapes, or not rho_bar >= c_bar > 0, which the paper's analysis assumes.
    """
    _check_shapes("rewards", rewards, old_log_probs=old_log_probs, log_probs=log_probs, values=values, dones=dones)
    if not rho_bar >= c_bar > 0:
        raise ValueError(f"rho_bar is {rho_bar} and c_bar {c_bar}; V-trace wants rho_bar >= c_bar > 0")
    ratios = (log_probs - old_log_probs).exp()
    rhos, traces = ratios.clamp(max=rho_bar), gae_lambda * ratios.clamp(max=c_bar)
    not_done = 1.0 - dones.to(rewards.dtype)
    next_values = torch.cat([values[1:], last_values[None]])
    deltas = rhos * (rewards + gamma * next_values * not_done - values)
    excess, running = torch.zeros_like(deltas), torch.zeros_like(last_values)  # (T, N) and (N,): v_s - V_s
    for t in reversed(range(len(rewards))):
        # v_s - V_s = delta_s + gamma c_s (v_{s+1} - V_{s+1}), their remark 1
        running = deltas[t] + gamma * traces[t] * not_done[t] * running
        excess[t] = running
    targets = values + excess
    next_targets = torch.cat([targets[1:], last_values[None]])
    return targets, rhos * (rewards + gamma * next_targets * not_done - values)


def _group_size(returns: Tensor) -> int:
    if returns.dim() != 2 or returns.shape[1] < 2:
        raise ValueError(f"returns have shape {tuple(returns.shape)}; they must be (B, G) with groups of G >= 2")
    return returns.shape[1]


def _check_shapes(name: str, like: Tensor, **others: Tensor) -> None:
    for other, tensor in others.items():
        if tensor.shape != like.shape:
            raise ValueError(f"{other} has shape {tuple(tensor.shape)}, {name} {tuple(like.shape)}; they must be equal")
