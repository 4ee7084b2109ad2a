"""Estimators, KL, schedules and exploration, each against its formula written out with NumPy, and by hand."""

import copy
import pickle

import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import LinearSchedule
from torch._subclasses.fake_tensor import FakeTensorMode

from agents import estimators, kl, schedules
from agents.exploration import Sampling, shaped, support

T, N = 15, 4


def ragged(seed, whole=False):
    """Rewards, values, last values and dones of random episodes, float64; `whole` ends all of them at the last step."""
    rng = np.random.default_rng(seed)
    dones = rng.random((T, N)) < 0.25
    dones[:, 0] = False  # one row never ends before the edge
    dones[-1] |= whole
    arrays = rng.normal(size=(T, N)), rng.normal(size=(T, N)), rng.normal(size=N), dones
    return tuple(torch.from_numpy(array) for array in arrays)


def assert_close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------------- returns, advantages


@pytest.mark.parametrize("seed", range(3))
def test_gae_is_the_sum_of_discounted_residuals(seed):
    """Schulman et al., eq. 16: the sum of (gamma lambda)^l delta_{t+l}, to the episode's end."""
    rewards, values, last, dones = ragged(seed)
    next_values = np.concatenate([values[1:], last[None]]) * ~dones.numpy()
    deltas = rewards.numpy() + 0.9 * next_values - values.numpy()
    expected = np.zeros((T, N))
    for t, n in np.ndindex(T, N):
        for i in range(t, T):
            expected[t, n] += (0.9 * 0.8) ** (i - t) * deltas[i, n]
            if dones[i, n]:
                break
    assert_close(estimators.generalized_advantage(rewards, values, last, dones, 0.9, 0.8), expected)


def test_returns_to_go():
    rewards, values, last, dones = ragged(0, whole=True)
    returns = estimators.returns_to_go(rewards, dones, 0.9)
    for t, n in np.ndindex(T, N):
        end = t + int(np.argmax(dones.numpy()[t:, n]))
        assert_close(returns[t, n], sum(0.9 ** (i - t) * rewards[i, n].item() for i in range(t, end + 1)))
    gae = estimators.generalized_advantage(rewards, values, last, dones, 0.9, 1.0)
    assert_close(returns, gae + values)  # lambda = 1 leaves the return less the baseline
    by_hand = estimators.returns_to_go(
        torch.tensor([[1.0], [2.0], [4.0], [8.0]]), torch.tensor([[0], [1], [0], [1]]).bool(), 0.5
    )
    assert by_hand.flatten().tolist() == [2.0, 2.0, 8.0, 8.0]


def test_group_advantages():
    returns = torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]])
    assert_close(estimators.leave_one_out(returns), [[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]])
    assert_close(estimators.group_normalized(returns, scale=False), [[-2.0, -1.0, 3.0], [0.0, 0.0, 0.0]])
    assert_close(estimators.group_normalized(returns[:1], eps=0.0), [np.array([-2.0, -1.0, 3.0]) / np.sqrt(7.0)], 1e-6)
    rng = np.random.default_rng(0)
    many = rng.normal(size=(6, 5))
    std = many.std(axis=1, ddof=1, keepdims=True)
    assert_close(
        estimators.group_normalized(torch.from_numpy(many)), (many - many.mean(1, keepdims=True)) / (std + 1e-4)
    )
    others = [[many[b, [j for j in range(5) if j != i]].mean() for i in range(5)] for b in range(6)]
    assert_close(estimators.leave_one_out(torch.from_numpy(many)), many - others)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 2, 2)])
@pytest.mark.parametrize("function", [estimators.leave_one_out, estimators.group_normalized])
def test_groups_need_two_episodes(function, shape):
    with pytest.raises(ValueError, match="G >= 2"):
        function(torch.zeros(shape))


def test_moving_average():
    baseline = estimators.MovingAverage(decay=0.9)
    assert baseline.value == 0
    batches = [torch.tensor([2.0, 4.0]), torch.tensor([7.0]), torch.tensor([[-1.0, 1.0], [4.0, 4.0]])]
    weights = []
    for i, batch in enumerate(batches):
        baseline.update(batch)
        weights = [0.9**age for age in reversed(range(i + 1))]
        assert_close(baseline.value, np.average([b.mean() for b in batches[: i + 1]], weights=weights), 1e-6)
    again = pickle.loads(pickle.dumps(baseline))
    again.update(torch.full((3,), 99.0), torch.zeros(3, dtype=torch.bool))
    assert again.value == baseline.value, "a batch without episodes changes nothing"
    again.update(torch.tensor([5.0, 99.0]), torch.tensor([True, False]))
    baseline.update(torch.tensor([5.0]))
    assert again.value == baseline.value
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        estimators.MovingAverage(decay=1.0)


# ---------------------------------------------------------------------- V-trace


def test_vtrace_is_equation_1():
    rewards, values, last, dones = ragged(1)
    old, new = (torch.from_numpy(np.random.default_rng(seed).normal(-1, 0.7, size=(T, N))) for seed in (2, 3))
    targets, advantages = estimators.vtrace(old, new, rewards, values, last, dones, 0.9, 1.3, 0.8, 0.95)
    ratio = np.exp((new - old).numpy())
    rho, c = np.minimum(1.3, ratio), 0.95 * np.minimum(0.8, ratio)
    r, v, going_on = rewards.numpy(), np.concatenate([values, last[None]]), ~dones.numpy()
    expected = v.copy()
    for s, n in np.ndindex(T, N):
        for t in range(s, T):
            delta = rho[t, n] * (r[t, n] + 0.9 * v[t + 1, n] * going_on[t, n] - v[t, n])
            expected[s, n] += 0.9 ** (t - s) * np.prod(c[s:t, n]) * delta
            if dones[t, n]:
                break
    assert_close(targets, expected[:-1])
    assert_close(advantages, rho * (r + 0.9 * expected[1:] * going_on - v[:-1]))


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(1.0, 1.0), (4.0, 2.0)])
def test_vtrace_on_policy_is_gae(rho_bar, c_bar):
    rewards, values, last, dones = ragged(4)
    log_probs = -torch.rand(T, N, dtype=torch.float64)
    inputs = (log_probs, log_probs, rewards, values, last, dones, 0.9, rho_bar, c_bar)
    targets, advantages = estimators.vtrace(*inputs)
    gae = estimators.generalized_advantage(rewards, values, last, dones, 0.9, 1.0)
    assert_close(targets, gae + values)
    assert_close(advantages, gae)
    targets, _ = estimators.vtrace(*inputs, 0.7)
    assert_close(targets, estimators.generalized_advantage(rewards, values, last, dones, 0.9, 0.7) + values)


def test_vtrace_by_hand():
    """Two steps, gamma 1/2, ratios 1/2 and 4, both bounds 1, the row goes on to a value of 8."""
    column = lambda *numbers: torch.tensor(numbers, dtype=torch.float64)[:, None]  # noqa: E731
    targets, advantages = estimators.vtrace(
        column(0, 0),
        column(np.log(0.5), np.log(4)),
        column(1, 2),
        column(3, 5),
        torch.tensor([8.0], dtype=torch.float64),
        column(0, 0).bool(),
        0.5,
    )
    assert_close(targets.flatten(), [3 + 0.5 * (1 + 2.5 - 3) + 0.5 * 0.5 * 1, 6.0])  # delta_1 = 2 + 4 - 5 = 1
    assert_close(advantages.flatten(), [0.5 * (1 + 0.5 * 6 - 3), 1.0])


def test_vtrace_refuses_what_it_cannot_use():
    rewards, values, last, dones = ragged(0)
    with pytest.raises(ValueError, match="rho_bar >= c_bar"):
        estimators.vtrace(values, values, rewards, values, last, dones, 0.9, 0.5, 1.0)
    with pytest.raises(ValueError, match="log_probs has shape"):
        estimators.vtrace(values, values[:1], rewards, values, last, dones, 0.9)


# ---------------------------------------------------------------------- how a token mean averages

LENGTHS = [3, 1, 4, 2, 5, 2]  # two groups of three episodes
RETURNS = torch.tensor([[1.0, 0.0, 3.0], [-1.0, 2.0, 2.5]], dtype=torch.float64)


def episodes():
    """A linear policy's log-probs of random tokens: parameter, current log-probs by episode, and those that acted."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 7, dtype=torch.float64, generator=generator).requires_grad_()
    current, old = [], []
    for length in LENGTHS:
        features = torch.randn(length, 4, dtype=torch.float64, generator=generator)
        tokens = torch.randint(7, (length,), generator=generator)
        log_probs = (features @ weight).log_softmax(-1)[torch.arange(length), tokens]
        current.append(log_probs)
        old.append(log_probs.detach() + 0.3 * torch.randn(length, dtype=torch.float64, generator=generator))
    return weight, current, old


def clipped(log_probs, old, advantages):
    """PPO's surrogate of each token (Schulman et al., 2017, eq. 7)."""
    ratio = (log_probs - old).exp()
    return torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)


GROUP_MEAN = RETURNS.mean(1, keepdim=True)
NORMALIZED = (RETURNS - GROUP_MEAN) / (RETURNS.std(1, keepdim=True) + 1e-4)
OTHERS = torch.stack([torch.stack([group[torch.arange(3) != i].mean() for i in range(3)]) for group in RETURNS])
OBJECTIVES = {  # the papers', to be maximised, of each token's log-prob, a list by episode
    "GRPO": lambda s: (
        sum((a * 1 / n * s_i.sum()) for a, n, s_i in zip(NORMALIZED.flatten(), LENGTHS, s, strict=True)) / 6
    ),
    "Dr. GRPO": lambda s: sum(a * s_i.sum() for a, s_i in zip((RETURNS - GROUP_MEAN).flatten(), s, strict=True)) / 6,
    "RLOO": lambda s: sum(a * s_i.sum() for a, s_i in zip((RETURNS - OTHERS).flatten(), s, strict=True)) / 6,
}
OURS = {
    "GRPO": (estimators.group_normalized(RETURNS), "sequence"),
    "Dr. GRPO": (estimators.group_normalized(RETURNS, scale=False), "episode"),
    "RLOO": (estimators.leave_one_out(RETURNS), "episode"),
}


def weighted(name):
    """A token's advantage as it goes into the buffer: advantage times weight, (M,)."""
    advantages, how = OURS[name]
    lengths = torch.tensor(LENGTHS)
    return (advantages.flatten() * estimators.token_weights(lengths, how).double()).repeat_interleave(lengths)


@pytest.mark.parametrize("name", OURS)
def test_weights_make_a2cs_loss_the_papers(name):
    weight, current, _ = episodes()
    (expected,) = torch.autograd.grad(-OBJECTIVES[name](current), weight, retain_graph=True)
    a2c_loss = -(weighted(name) * torch.cat(current)).mean()  # SB3's, a2c.py
    assert_close(torch.autograd.grad(a2c_loss, weight)[0], expected, 1e-6)
    assert expected.abs().max() > 0.1


@pytest.mark.parametrize("name", OURS)
def test_weights_make_ppos_loss_the_papers(name):
    """Clipping is inside the average: each episode's surrogate has the sign of its own advantage."""
    weight, current, old = episodes()
    advantages = OURS[name][0].flatten()
    scale = {"sequence": lambda n: 1 / n, "episode": lambda n: 1.0}[OURS[name][1]]
    objective = sum(
        scale(len(new)) * clipped(new, acted, a).sum() for new, acted, a in zip(current, old, advantages, strict=True)
    )
    (expected,) = torch.autograd.grad(-objective / 6, weight, retain_graph=True)
    loss = -clipped(torch.cat(current), torch.cat(old), weighted(name)).mean()
    assert_close(torch.autograd.grad(loss, weight)[0], expected, 1e-6)


def test_token_weights():
    lengths = torch.tensor([1, 3, 0, 4])  # the third slot is unused
    assert estimators.token_weights(lengths, "token").tolist() == [1, 1, 0, 1]
    assert_close(estimators.token_weights(lengths, "sequence"), [8 / 3, 8 / 9, 0, 8 / 12], 1e-6)
    assert_close(estimators.token_weights(lengths, "episode"), [8 / 3, 8 / 3, 0, 8 / 3], 1e-6)
    with pytest.raises(ValueError, match="'token', 'sequence', 'episode'"):
        estimators.token_weights(lengths, "mean")


# ---------------------------------------------------------------------- KL


def two_policies(actions=6):
    generator = torch.Generator().manual_seed(1)
    logits, reference = torch.randn(2, 3, actions, dtype=torch.float64, generator=generator)
    illegal = torch.zeros(3, actions, dtype=torch.bool)
    illegal[0, 2] = illegal[1, 4:] = True
    return logits.masked_fill(illegal, -1e8).requires_grad_(), reference.masked_fill(illegal, -1e8), illegal


def divergence(logits, reference):
    """KL by torch.distributions."""
    categorical = torch.distributions.Categorical
    return torch.distributions.kl_divergence(categorical(logits=logits), categorical(logits=reference))


def test_full_kl_and_its_gradient():
    logits, reference, illegal = two_policies()
    ours = kl.full(logits, reference)
    assert_close(ours.detach(), divergence(logits, reference).detach())
    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[illegal] == 0).all()
    assert_close(gradient, torch.autograd.grad(divergence(logits, reference).sum(), logits)[0])
    few = logits[0, ~illegal[0]], reference[0, ~illegal[0]]  # as if the illegal action did not exist
    assert_close(ours[0].item(), divergence(*few).item())


def test_kl_estimators_expected_value_and_gradient():
    """The expectation over actions drawn from the policy, summed over all of them, is what the module's table says."""
    logits, reference, _ = two_policies()
    log_probs, reference = logits.log_softmax(-1), reference.log_softmax(-1)
    probs = log_probs.detach().exp()  # a sample's probability is not differentiated
    forward, backward = divergence(logits, reference), divergence(reference, logits)
    gradient = lambda of: torch.autograd.grad(of.sum(), logits, retain_graph=True)[0]  # noqa: E731
    expected = {name: (probs * kl.estimator(name)(log_probs, reference)).sum(-1) for name in ("k1", "k2", "k3")}
    assert_close(expected["k1"].detach(), forward.detach())
    assert_close(expected["k3"].detach(), forward.detach())
    assert (expected["k2"] - forward).abs().min() > 1e-3, "k2 is biased as a value"
    assert_close(gradient(expected["k1"]), torch.zeros_like(logits))
    assert_close(gradient(expected["k2"]), gradient(forward))
    assert_close(gradient(expected["k3"]), gradient(backward))
    assert (gradient(forward) - gradient(backward)).abs().max() > 1e-2


def test_kl_estimators_by_hand_and_by_samples():
    log_p, log_q = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()
    assert_close(kl.k1(log_p, log_q), np.log([2.0]), 1e-6)
    assert_close(kl.k2(log_p, log_q), np.log([2.0]) ** 2 / 2, 1e-6)
    assert_close(kl.k3(log_p, log_q), 0.5 - 1 + np.log([2.0]), 1e-6)
    logits, reference = (torch.from_numpy(np.random.default_rng(i).normal(size=5)) * 0.5 for i in (1, 2))
    actions = torch.multinomial(logits.softmax(-1), 400_000, True, generator=torch.Generator().manual_seed(0))
    log_probs, reference_log_probs = logits.log_softmax(-1)[actions], reference.log_softmax(-1)[actions]
    full = kl.full(logits[None], reference[None]).item()
    for name in ("k1", "k3"):
        samples = kl.estimator(name)(log_probs, reference_log_probs)
        assert abs(samples.mean() - full) < 4 * samples.std() / 400_000**0.5
    assert (kl.k2(log_probs, reference_log_probs).mean() - full).abs() < 0.3 * full
    assert kl.k3(log_probs, reference_log_probs).var() < kl.k1(log_probs, reference_log_probs).var()


def test_there_are_four_estimators():
    with pytest.raises(ValueError, match="'k1', 'k2', 'k3', 'full'"):
        kl.estimator("k4")


def test_adaptive_coefficient():
    coefficient = kl.AdaptiveCoefficient(0.1, target=6.0, horizon=10_000)
    coefficient.update(12.0, 1_000)  # the error, 1, is cut to 0.2
    assert coefficient.value == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    again = pickle.loads(pickle.dumps(coefficient))
    again.update(5.4, 1_000)  # the error is -0.1
    assert again.value == pytest.approx(0.102 * (1 - 0.1 * 0.1))
    again.update(0.0, 1_000)
    assert again.value == pytest.approx(0.102 * 0.99 * 0.98)
    steady = copy.copy(again)
    steady.update(6.0, 1_000)
    assert steady == again
    fixed = kl.FixedCoefficient(0.3)
    fixed.update(50.0, 1_000)
    assert fixed.value == 0.3


def test_coefficients_refuse_bad_numbers():
    for options in ({"value": 0.0}, {"target": -1.0}, {"horizon": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            kl.AdaptiveCoefficient(**{"value": 0.1, "target": 6.0, **options})
    with pytest.raises(ValueError, match="not negative"):
        kl.FixedCoefficient(-0.1)
    coefficient = kl.AdaptiveCoefficient(0.1, target=6.0, horizon=100)
    with pytest.raises(ValueError, match="horizon above 100"):
        coefficient.update(1.0, 500)
    with pytest.raises(ValueError, match="not finite"):
        coefficient.update(float("nan"), 1)


# ---------------------------------------------------------------------- schedules


@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_linear_is_sb3s(fraction):
    ours, theirs = schedules.linear(1e-3, 1e-5, fraction), LinearSchedule(1e-3, 1e-5, fraction)
    for progress_remaining in (1.0, 0.9, 0.6, 0.59, 0.1, 0.0, -0.01):
        assert ours(progress_remaining) == pytest.approx(theirs(progress_remaining), abs=1e-12)


def test_cosine():
    schedule = schedules.cosine(2.0, end=1.0, warmup=0.2)
    points = {1.0: 0.0, 0.9: 1.0, 0.8: 2.0, 0.4: 1.5, 0.6: 1.5 + 0.5 * np.sqrt(0.5), 0.0: 1.0, -0.05: 1.0}
    for progress_remaining, value in points.items():
        assert schedule(progress_remaining) == pytest.approx(value)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.5)
    for step in range(11):
        assert schedules.cosine(3.0, 0.5)(1 - step / 10) == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1e-3", schedules.constant(1e-3)),
        (3e-4, schedules.constant(3e-4)),
        ("linear:1e-3", schedules.linear(1e-3, 0.0, 1.0)),
        ("linear:1e-3:fraction=0.5:end=1e-4", schedules.linear(1e-3, 1e-4, 0.5)),
        ("cosine:1e-3:warmup=0.05:end=1e-5", schedules.cosine(1e-3, 1e-5, 0.05)),
    ],
)
def test_parse(text, same):
    schedule = pickle.loads(pickle.dumps(schedules.parse(text)))
    for progress_remaining in (1.0, 0.97, 0.7, 0.3, 0.0):
        assert schedule(progress_remaining) == same(progress_remaining)


MALFORMED = [
    "fast",
    "nan",
    "1e-3:linear",
    "linear",
    "linear:",
    "linear:x",
    "linear:-1",
    "linear:1e-3:0.5",
    "linear:1:warmup=0.1",
    "linear:1:fraction=0",
    "cosine:1e-3:end=",
    "cosine:1e-3:end=0:end=1",
    "cosine:1:warmup=1",
]


@pytest.mark.parametrize("text", [*MALFORMED, "", None])
def test_parse_refuses(text):
    with pytest.raises(ValueError, match=r"schedule|number|takes|must be"):
        schedules.parse(text)


# ---------------------------------------------------------------------- exploration


def left(logits, top_k, top_p):
    """The definition, one row at a time: sort, keep k, renormalise, keep the fewest that reach p."""
    legal = [a for a in range(len(logits)) if logits[a] > -1e7] or list(range(len(logits)))
    ranked = sorted(legal, key=lambda a: (-logits[a], a))[: top_k or None]
    weights = np.exp([logits[a] - logits[ranked[0]] for a in ranked])
    mass = np.cumsum(weights) / weights.sum()
    count = len(ranked) if top_p == 1.0 else int(np.argmax(mass >= top_p)) + 1
    return [a in ranked[:count] for a in range(len(logits))]


def masked_logits(seed, actions=9):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(8, actions))
    logits[rng.random(logits.shape) < 0.3] = -1e8
    logits[0, 1:], logits[0, 0] = -1e8, 0.3  # one legal action
    logits[1] = -1e8  # none
    return torch.from_numpy(logits)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (1, 1.0), (3, 1.0), (50, 1.0), (0, 0.6), (4, 0.9), (0, 1e-6)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_support_and_distribution(top_k, top_p, temperature):
    logits, sampling = masked_logits(top_k), Sampling(temperature, top_k, top_p, epsilon=0.1)
    allowed = support(logits, sampling)
    heated = torch.where(logits > -1e7, logits / temperature, logits).numpy()
    assert allowed.tolist() == [left(row, top_k, top_p) for row in heated]
    legal = (logits > -1e7) | (torch.arange(8) == 1)[:, None]
    assert not (allowed & ~legal).any()
    weights = np.exp(heated - heated.max(1, keepdims=True)) * allowed.numpy()
    probs = weights / weights.sum(1, keepdims=True)
    without = Sampling(temperature, top_k, top_p)
    assert_close(shaped(logits, allowed, without).softmax(-1), probs)
    mixed = 0.9 * probs + 0.1 * legal.numpy() / legal.sum(1, keepdim=True).numpy()
    log_probs = shaped(logits, allowed, sampling)
    assert_close(log_probs.exp(), mixed)
    assert_close(log_probs.logsumexp(-1), np.zeros(8))


def test_support_of_ties_and_edges():
    four = torch.zeros(1, 4)
    assert support(four, Sampling(top_k=2)).tolist() == [[True, True, False, False]]
    assert support(four, Sampling(top_p=0.5)).tolist() == [[True, True, False, False]], "1/4 + 1/4 reach 1/2"
    assert support(four, Sampling(top_p=0.51)).tolist() == [[True, True, True, False]]
    three = torch.tensor([[0.2, 0.5, 0.3]]).log()
    assert support(three, Sampling(top_p=0.4)).tolist() == [[False, True, False]]
    assert support(three, Sampling(top_k=2, top_p=0.62)).tolist() == [[False, True, False]], "0.5 of 0.8 is 0.625"
    assert support(three, Sampling(top_p=0.62)).tolist() == [[False, True, True]]
    cold = shaped(three, None, Sampling(temperature=1e-30))
    assert cold.exp().tolist() == [[0, 1, 0]]
    assert cold.min() == -1e8, "log-probs stay where sums and products of them are finite"
    assert shaped(three, None, Sampling()) is three


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_shaped_has_finite_gradients(epsilon):
    """Of a taken action's log-prob and of the entropy, with illegal and left-out actions about."""
    logits, sampling = masked_logits(5).requires_grad_(), Sampling(0.7, 3, 0.9, epsilon)
    allowed = support(logits, sampling)
    log_probs = shaped(logits, allowed, sampling)
    taken = allowed.to(torch.int8).argmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    (gradient,) = torch.autograd.grad((log_probs.gather(-1, taken[:, None])[:, 0] + entropy).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[~allowed] == 0).all()
    assert bool(gradient.abs().max() > 1e-3) == (epsilon < 1.0)


def test_sampling_refuses():
    for options in (
        {"temperature": 0.0},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"epsilon": 2},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            Sampling(**options)
    with pytest.raises(ValueError, match="allowed"):
        shaped(torch.zeros(1, 3), None, Sampling(top_k=2))


def test_nothing_reads_the_host():
    """Under FakeTensorMode tensors have no values: whatever wants one raises."""
    with FakeTensorMode():
        rows, logits, sampling = torch.rand(T, N), torch.rand(N, 9), Sampling(0.7, 3, 0.9, 0.1)
        shaped(logits, support(logits, sampling), sampling)
        estimators.vtrace(rows, rows, rows, rows, rows[0], rows > 0.8, 0.9)
        estimators.generalized_advantage(rows, rows, rows[0], rows > 0.8, 0.9, 0.95)
        estimators.group_normalized(estimators.leave_one_out(estimators.returns_to_go(rows, rows > 0.8, 0.9)))
        baseline = estimators.MovingAverage()
        baseline.update(rows, rows > 0.5)
        for how in estimators.MEANS:
            assert estimators.token_weights((9 * rows[0]).long(), how).shape == (N,)
        assert kl.full(logits, logits).shape == kl.k3(rows[0], baseline.value).shape == (N,)
