"""Returns, advantages, V-trace and token weights, each against its formula written out with NumPy, and by hand."""

import pickle

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from agents.objectives import advantages as estimators

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
    """Two steps, gamma 1/2, ratios 1/2 and 4, both bounds 1, the row continues to a value of 8."""
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


# ---------------------------------------------------------------------- on a device


def test_nothing_reads_the_host():
    """Under FakeTensorMode tensors have no values: whatever wants one raises."""
    with FakeTensorMode():
        rows = torch.rand(T, N)
        estimators.vtrace(rows, rows, rows, rows, rows[0], rows > 0.8, 0.9)
        estimators.generalized_advantage(rows, rows, rows[0], rows > 0.8, 0.9, 0.95)
        estimators.group_normalized(estimators.leave_one_out(estimators.returns_to_go(rows, rows > 0.8, 0.9)))
        baseline = estimators.MovingAverage()
        baseline.update(rows, rows > 0.5)
        assert baseline.value.shape == ()
        for how in estimators.MEANS:
            assert estimators.token_weights((9 * rows[0]).long(), how).shape == (N,)
