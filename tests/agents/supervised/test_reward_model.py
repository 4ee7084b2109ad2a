"""The Bradley-Terry reward model: its loss by hand, what it learns, and what it pays as a reward term."""

import numpy as np
import pytest
import torch
from torch import nn

import llm_envs
from agents import PPO
from agents.supervised.preferences import Pairs, preference_pairs
from agents.supervised.reward_model import RewardModel, bradley_terry_loss, fit, pair_scores
from llm_envs.adapters.sb3 import TensorVecEnv

COPY, ADDITION = "Tokens/Copy-v0", "Tokens/Addition-v0"
SHORT = {"length": 3, "vocab_size": 4}
MATCH = {"exact": 0.0, "match": 1.0}
SMALL = {"width": 16, "layers": 1, "heads": 2}
FIRST = 3  # Copy's first symbol


def small_model(world_id=COPY, seed=0, backbone=SMALL, **config):
    torch.manual_seed(seed)
    return RewardModel.for_world(world_id, backbone, **(config or SHORT))


def texts(pairs):
    return {"tokens": pairs.tokens.flatten(0, 1), "length": pairs.length.flatten()}


# ---------------------------------------------------------------------- the loss


def test_the_loss_is_bradley_and_terrys():
    """-log(e^r1 / (e^r1 + e^r2)), Christiano et al. (2017), equation 1, written out; its gradient by differences."""
    scores = np.random.default_rng(0).normal(size=(7, 2)) * 3
    odds = np.exp(scores)

    def expected(odds):
        return -np.log(odds[:, 0] / odds.sum(axis=1)).mean()

    given = torch.tensor(scores, requires_grad=True)
    loss = bradley_terry_loss(given)
    assert float(loss.detach()) == pytest.approx(expected(odds), rel=1e-12)
    loss.backward()
    for place in np.ndindex(scores.shape):
        shift = np.zeros_like(scores)
        shift[place] = 1e-6
        slope = (expected(np.exp(scores + shift)) - expected(np.exp(scores - shift))) / 2e-6
        assert float(given.grad[place]) == pytest.approx(slope, abs=1e-8)


def test_the_loss_of_far_apart_scores_is_finite():
    assert float(bradley_terry_loss(torch.tensor([[-1e4, 1e4]]))) == 2e4
    assert float(bradley_terry_loss(torch.tensor([[1e4, -1e4]]))) == 0.0


# ---------------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def fitted():
    model, pairs = small_model(), preference_pairs(COPY, 2000, weights=MATCH, **SHORT)
    return model, pairs, fit(model, pairs, epochs=8, learning_rate=5e-3)


def test_it_learns_the_gold_order(fitted):
    """Random texts of Copy, held-out levels: 50 % is chance; 80 % needs the answer compared with the prompt."""
    _, pairs, found = fitted
    assert found.accuracy > 0.8
    assert found.gold_accuracy == found.accuracy  # no label is wrong
    assert found.held_out_loss < 0.5 < np.log(2)
    assert found.pairs + found.held_out == len(pairs)


def test_accuracies_and_losses_are_those_of_the_scores(fitted):
    model, pairs, found = fitted
    for part, accuracy, loss in zip(
        pairs.split(0.2, seed=0),
        (found.train_accuracy, found.accuracy),
        (found.train_loss, found.held_out_loss),
        strict=True,
    ):
        with torch.no_grad():
            a, b = model.raw(texts(part)).view(-1, 2).double().numpy().T
        assert (a > b).mean() == pytest.approx(accuracy, abs=1e-6)
        assert np.log1p(np.exp(b - a)).mean() == pytest.approx(loss, rel=1e-4)


def test_scores_are_normal_over_the_training_texts(fitted):
    model, pairs, _ = fitted
    scores = pair_scores(model, pairs.split(0.2, seed=0)[0], batch_size=100).numpy()
    assert scores.mean() == pytest.approx(0.0, abs=1e-5)
    assert scores.std() == pytest.approx(1.0, abs=1e-5)


def test_wrong_labels_are_told_from_the_gold_order():
    """All labels turned round: what is learned agrees with the labels and contradicts the gold reward."""
    pairs = preference_pairs(ADDITION, 800, weights=MATCH, digits=1)
    turned = Pairs(pairs.tokens.flip(1), pairs.length.flip(1), pairs.gold.flip(1), pairs.levels)
    found = fit(small_model(ADDITION, digits=1), turned, epochs=6, learning_rate=5e-3)
    assert found.accuracy > 0.7
    assert found.gold_accuracy == pytest.approx(1 - found.accuracy, abs=1e-6)


def test_a_score_reads_the_text_and_nothing_behind_it(fitted):
    model, pairs, _ = fitted
    some = texts(pairs[:50])
    behind = torch.arange(some["tokens"].shape[1]) >= some["length"][:, None]
    noisy = torch.where(behind, torch.randint(0, 7, some["tokens"].shape, dtype=torch.int32), some["tokens"])
    assert not torch.equal(noisy, some["tokens"])
    assert torch.allclose(model(some), model({**some, "tokens": noisy}), atol=1e-6)
    alone = torch.cat([model({name: value[i : i + 1] for name, value in some.items()}) for i in range(100)])
    assert torch.allclose(model(some), alone, atol=1e-5)


# ---------------------------------------------------------------------- as a reward


@pytest.mark.parametrize("backbone", [SMALL, {"kind": "gru", "width": 16}], ids=["transformer", "gru"])
def test_rewards_are_the_models_scores_of_the_final_texts(backbone):
    """Each text is scored by hand, one by one, by the trunk's plain forward pass; other steps pay nothing."""
    model = small_model(backbone=backbone)
    model.mean.fill_(0.3)
    model.std.fill_(2.0)
    env = TensorVecEnv(COPY, 6, weights={"exact": 0.0}, rewards=[model.as_reward("judge", weight=0.5)], **SHORT)
    env.reset_tensor(0)
    generator, ended = torch.Generator().manual_seed(0), 0
    for _ in range(12):
        step = env.step_tensor(torch.randint(0, 7, (6,), generator=generator))
        done = step.terminated | step.truncated
        for i in range(6):
            if not done[i]:
                assert step.reward[i] == 0.0
                continue
            length = int(step.final_obs["length"][i])
            with torch.no_grad():
                features = model.trunk(step.final_obs["tokens"][i, :length][None].long())[0, -1]
                score = (features @ model.head.weight[0] - 0.3) / 2.0
            assert float(step.signals["judge"][i]) == pytest.approx(float(score), abs=1e-5)
            assert float(step.reward[i]) == pytest.approx(0.5 * float(score), abs=1e-5)
            ended += 1
    assert ended > 10


def test_a_time_limit_pays_the_text_so_far():
    model = small_model()
    batch = llm_envs.make_batch(COPY, 3, weights={"exact": 0.0}, rewards=[model.as_reward()], max_steps=1, **SHORT)
    batch.reset(0)
    step = batch.step(torch.full((3,), FIRST))
    assert step.truncated.all()
    with torch.no_grad():
        assert torch.allclose(step.reward, model(step.final_obs))


def test_ppo_is_paid_by_it_in_eval_mode_without_gradients():
    model = small_model(backbone={**SMALL, "dropout": 0.5})
    env = TensorVecEnv(COPY, 8, weights={"exact": 0.0}, rewards=[model.train().as_reward()], **SHORT)
    ppo = PPO("TransformerPolicy", env, n_steps=8, batch_size=64, n_epochs=1, policy_kwargs={"backbone": SMALL})
    before = [parameter.clone() for parameter in model.parameters()]
    ppo.learn(128)
    assert not model.training
    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())
    held = ppo.rollout_buffer.tensors
    assert torch.equal(held["rewards"] != 0, held["dones"])


def test_dtype_and_device():
    """Parameters in float64 score in float64 and pay in float32; shapes and devices hold without data, too."""
    model = small_model().double()
    batch = llm_envs.make_batch(COPY, 3, rewards=[model.as_reward()], max_steps=1, **SHORT)
    assert model(batch.reset(0)).dtype == torch.float64
    assert batch.step(torch.full((3,), FIRST)).reward.dtype == torch.float32
    with pytest.raises(ValueError, match="the texts are on cpu, the reward model on meta"):
        model.to("meta")(batch.tensors.obs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_pays_what_it_pays_on_the_cpu():
    found = []
    for device in ("cpu", "cuda"):
        model = small_model().to(device)
        batch = llm_envs.make_batch(COPY, 8, device=device, rewards=[model.as_reward()], max_steps=2, **SHORT)
        batch.reset(0)
        for action in (FIRST, FIRST + 1):
            found.append(batch.step(torch.full((8,), action, device=device)).reward.cpu())
    assert torch.allclose(found[0], found[2], atol=1e-4)
    assert torch.allclose(found[1], found[3], atol=1e-4)


def test_save_and_load(fitted, tmp_path):
    model, pairs, _ = fitted
    model.save(tmp_path / "judge.pt")
    loaded = RewardModel.load(tmp_path / "judge.pt")
    assert torch.equal(loaded(texts(pairs)), model(texts(pairs)))
    assert not loaded.training
    small_model().double().save(tmp_path / "double.pt")
    assert RewardModel.load(tmp_path / "double.pt").head.weight.dtype == torch.float64


# ---------------------------------------------------------------------- errors


def test_texts_that_do_not_fit_are_refused():
    model = small_model()
    tokens = torch.zeros(2, 16, dtype=torch.int32)
    with pytest.raises(ValueError, match="the observations have tokens; a reward model needs length"):
        model({"tokens": tokens})
    with pytest.raises(ValueError, match="a token is 7; the reward model's vocabulary is 7"):
        model({"tokens": tokens + 7, "length": torch.tensor([3, 3])})
    with pytest.raises(ValueError, match="the texts have 17 columns; the reward model's window is 16"):
        model({"tokens": torch.zeros(2, 17, dtype=torch.int32), "length": torch.tensor([3, 3])})
    with pytest.raises(ValueError, match=r"Nav/FourRooms-v0 in this configuration has .*; a reward model needs tokens"):
        RewardModel.for_world("Nav/FourRooms-v0")


def test_bad_requests_for_a_fit():
    pairs = preference_pairs(COPY, 8, weights=MATCH, **SHORT)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"the share of levels to hold out is {share}"):
            fit(small_model(), pairs, held_out=share)
    with pytest.raises(ValueError, match="epochs"):
        fit(small_model(), pairs, epochs=0)
    one = Pairs(pairs.tokens, pairs.length, pairs.gold, torch.zeros(8, dtype=torch.long))
    with pytest.raises(ValueError, match="the 8 pairs are of 1 level; to hold levels out takes at least 2"):
        fit(small_model(), one)
    same = small_model()
    nn.init.zeros_(same.head.weight)
    with pytest.raises(ValueError, match=r"have standard deviation 0\.0; it must be positive"):
        fit(same, pairs, epochs=1, learning_rate=0.0)
