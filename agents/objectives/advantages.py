"""Advantages, returns and value targets as functions on tensors, and the weights by which a token mean averages.

T steps, N rows; B groups (prompts) of G episodes each; E episodes with M tokens among them. Nothing here reads a tensor
on the host. `docs/reference/estimators.md` has them in one table.
"""

import torch
from torch import Tensor

from llm_envs.validation import check_choice

MEANS = ("token", "sequence", "episode")


def generalized_advantage(
    rewards: Tensor, values: Tensor, last_values: Tensor, dones: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Return GAE(lambda) (Schulman et al., 2016, eq. 16), all (T, N); last_values (N,) follow the last step.

    `dones` cuts the bootstrap and the trace. A truncated step's reward must already hold gamma V(final observation).
    """
    advantages, running = torch.zeros_like(rewards), torch.zeros_like(last_values)
    going_on = 1.0 - dones.to(rewards.dtype)
    for t in reversed(range(len(rewards))):
        next_values = values[t + 1] if t + 1 < len(rewards) else last_values
        delta = rewards[t] + gamma * next_values * going_on[t] - values[t]
        running = delta + gamma * gae_lambda * going_on[t] * running
        advantages[t] = running
    return advantages


def returns_to_go(rewards: Tensor, dones: Tensor, gamma: float) -> Tensor:
    """Return the discounted sum of rewards from each step to its episode's end, all (T, N) (Sutton & Barto, eq. 3.9).

    Meant for whole episodes: where a row's last episode goes on after step T, its sum stops there, without bootstrap.
    """
    _check_shapes("rewards", rewards, dones=dones)
    returns, running = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
    going_on = 1.0 - dones.to(rewards.dtype)
    for t in reversed(range(len(rewards))):
        running = rewards[t] + gamma * going_on[t] * running
        returns[t] = running
    return returns


def leave_one_out(returns: Tensor) -> Tensor:
    """Return RLOO's advantages (B, G) of episodes' returns (B, G): each less the mean of the other G - 1 of its group.

    The baseline does not depend on the episode it is taken from, so the gradient stays unbiased (Kool et al., 2019,
    "Buy 4 REINFORCE samples, get a baseline for free!"; for language models Ahmadian et al., 2024, "Back to basics").
    """
    size = _group_size(returns)
    return returns - (returns.sum(1, keepdim=True) - returns) / (size - 1)


def group_normalized(returns: Tensor, scale: bool = True, eps: float = 1e-4) -> Tensor:
    """Return GRPO's advantages (B, G) of episodes' returns (B, G): (return - mean) / (std + eps) over each group.

    GRPO: Shao et al., 2024 (DeepSeekMath), section 4.1.2. The paper leaves the kind of deviation open; here it is the
    sample's (divided by G - 1), with eps = 1e-4, as in TRL. `scale=False` is Dr. GRPO (Liu et al., 2025): the mean is
    taken off and nothing divided, so that a group counts no more for having nearly equal returns.
    """
    _group_size(returns)
    centred = returns - returns.mean(1, keepdim=True)
    return centred / (returns.std(1, keepdim=True) + eps) if scale else centred


class MovingAverage:
    """A baseline for REINFORCE (Williams, 1992): the exponential mean of earlier batches' returns.

    Read `value` first, then `update` with the same batch: a baseline that has seen the episode it judges is biased.
    The first batches' weight is corrected as Adam does it (Kingma & Ba, 2015, section 3). `total` and `weight` are
    scalars on `device`, changed in place; they pickle with it.
    """

    def __init__(self, decay: float = 0.9, device: torch.device | str = "cpu") -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay is {decay}; it must be in [0, 1)")
        self.decay = decay
        self.total = torch.zeros((), device=device)  # sum of the means seen, discounted
        self.weight = torch.zeros((), device=device)  # sum of their weights: 1 - decay^updates

    @property
    def value(self) -> Tensor:
        """The mean so far, a scalar; 0 before the first update."""
        return torch.where(self.weight > 0, self.total / self.weight, 0.0)

    def update(self, returns: Tensor, mask: Tensor | None = None) -> None:
        """Take a batch of episodes' returns, any shape; those where `mask` is False do not count."""
        real = torch.ones_like(returns) if mask is None else mask.to(returns.dtype)
        count = real.sum()
        mean = (returns.detach() * real).sum() / count.clamp(min=1.0)
        rate = (1.0 - self.decay) * (count > 0)  # a batch without episodes changes nothing
        self.total += rate * (mean - self.total)
        self.weight += rate * (1.0 - self.weight)


def token_weights(lengths: Tensor, how: str) -> Tensor:
    """Return (E,) float32: the weight of every token of each episode, given the acted tokens (E,) of a minibatch's.

    A2C's loss -mean(A log_prob) over the M tokens becomes, with weight * A in place of A,

        token      1              -1/M sum_i sum_t A log_prob          each token counts the same
        sequence   M / (E len_i)  -1/E sum_i 1/len_i sum_t A log_prob  each episode counts the same (GRPO, eq. 3)
        episode    M / E          -1/E sum_i sum_t A log_prob          REINFORCE, RLOO, Dr. GRPO: log-probs add up

    PPO's clipped loss is homogeneous in A, so the same holds there, as long as advantages are not normalised after
    weighting. An episode of length 0 (an unused slot) gets 0 and does not count towards E.
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
    """Return V-trace's value targets v_s and advantages (Espeholt et al., 2018, eq. 1 and section 4.2), both (T, N).

        v_s = V_s + sum_{t >= s} gamma^(t-s) (prod_{s <= i < t} c_i) rho_t (r_t + gamma V_{t+1} - V_t)
        A_s = rho_s (r_s + gamma v_{s+1} - V_s)
        rho = min(rho_bar, pi/mu),  c = gae_lambda min(c_bar, pi/mu)  (their remark 2)

    old_log_probs, log_probs: of the actions, under mu that acted and under pi that learns. Inputs are (T, N) but for
    last_values (N,), which follow the last step. `dones` ends sum and bootstrap; a truncated step's reward must already
    hold gamma V(final observation). The advantage holds its importance weight: the loss is -mean(A log_prob).
    Raises ValueError for unequal shapes or unless rho_bar >= c_bar > 0, which their analysis takes for granted.
    """
    _check_shapes("rewards", rewards, old_log_probs=old_log_probs, log_probs=log_probs, values=values, dones=dones)
    if not rho_bar >= c_bar > 0:
        raise ValueError(f"rho_bar is {rho_bar} and c_bar {c_bar}; V-trace wants rho_bar >= c_bar > 0")
    ratios = (log_probs - old_log_probs).exp()
    rhos, traces = ratios.clamp(max=rho_bar), gae_lambda * ratios.clamp(max=c_bar)
    going_on = 1.0 - dones.to(rewards.dtype)
    next_values = torch.cat([values[1:], last_values[None]])
    deltas = rhos * (rewards + gamma * next_values * going_on - values)
    excess, running = torch.zeros_like(deltas), torch.zeros_like(last_values)  # v_s - V_s
    for t in reversed(range(len(rewards))):
        running = deltas[t] + gamma * traces[t] * going_on[t] * running
        excess[t] = running
    targets = values + excess
    next_targets = torch.cat([targets[1:], last_values[None]])
    return targets, rhos * (rewards + gamma * next_targets * going_on - values)


def _group_size(returns: Tensor) -> int:
    if returns.dim() != 2 or returns.shape[1] < 2:
        raise ValueError(f"returns have shape {tuple(returns.shape)}; they must be (B, G) with groups of G >= 2")
    return returns.shape[1]


def _check_shapes(name: str, like: Tensor, **others: Tensor) -> None:
    for other, tensor in others.items():
        if tensor.shape != like.shape:
            raise ValueError(f"{other} has shape {tuple(tensor.shape)}, {name} {tuple(like.shape)}; they must be equal")
