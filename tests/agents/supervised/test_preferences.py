"""Preference pairs: their level, order, noise and policy, each recomputed from the texts."""

import numpy as np
import pytest
import torch

import llm_envs
from agents import PPO
from agents.supervised.preferences import preference_pairs
from llm_envs.adapters.sb3 import TensorVecEnv

COPY, ADDITION = "Tokens/Copy-v0", "Tokens/Addition-v0"
SHORT = {"length": 3, "vocab_size": 4}
MATCH = {"exact": 0.0, "match": 1.0}
SMALL = {"width": 16, "layers": 1, "heads": 2}
EQUALS, FIRST = 2, 3  # Copy's "=" and its first symbol


def copy_return(tokens):
    """Return the share of right symbols of a Copy text, from its tokens alone."""
    equals = tokens.index(EQUALS)
    prompt, answer = tokens[:equals], tokens[equals + 1 :]
    return sum(said == due for said, due in zip(answer, prompt, strict=False)) / len(prompt)


def test_pairs_share_a_level_and_gold_orders_them():
    pairs = preference_pairs(COPY, 300, weights=MATCH, levels_at_once=64, **SHORT)
    assert len(pairs) == 300
    pool = llm_envs.make_batch(COPY, 1, split="train", **SHORT)._levels.arrays
    assert len(pairs.levels.unique()) > 50
    for tokens, length, gold, level in zip(pairs.tokens, pairs.length, pairs.gold, pairs.levels, strict=True):
        a, b = (row[:n].tolist() for row, n in zip(tokens, length, strict=True))
        prompt = [int(symbol) + FIRST for symbol in pool["symbols"][level][: pool["length"][level]]]
        assert a[: len(prompt) + 1] == b[: len(prompt) + 1] == [*prompt, EQUALS]
        assert gold.tolist() == pytest.approx([copy_return(a), copy_return(b)], abs=1e-6)
        assert gold[0] > gold[1]


def test_pairs_follow_from_the_seed():
    one, two, other = (preference_pairs(COPY, 50, noise=0.1, seed=s, weights=MATCH, **SHORT) for s in (1, 1, 2))
    assert torch.equal(one.tokens, two.tokens)
    assert torch.equal(one.gold, two.gold)
    assert not torch.equal(one.tokens, other.tokens)


def test_noisy_labels_are_wrong_as_often_as_bradley_and_terry_say():
    """Of pairs whose returns differ by d, 1 / (1 + e^(d / noise)) are labelled the wrong way; 4 standard errors."""
    pairs = preference_pairs(COPY, 6000, noise=0.4, weights=MATCH, length=2, vocab_size=3)
    gap = pairs.gold[:, 0] - pairs.gold[:, 1]
    seen = 0
    for size in (0.5, 1.0):
        of_size = (gap.abs() - size).abs() < 1e-6
        count, wrong = int(of_size.sum()), 1 / (1 + np.exp(size / 0.4))
        seen += count
        assert count > 500
        assert float((gap[of_size] < 0).float().mean()) == pytest.approx(wrong, abs=4 * (wrong / count) ** 0.5)
    assert seen == 6000


def test_a_policy_writes_the_pairs():
    """A function, an SB3 model and its policy are all sampled from; the global generator stays as it was."""
    model = PPO("TransformerPolicy", TensorVecEnv(COPY, 4, **SHORT), n_steps=4, policy_kwargs={"backbone": SMALL})
    state = torch.get_rng_state()
    a, b = (preference_pairs(COPY, 20, who, weights=MATCH, **SHORT) for who in (model, model.policy))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a.tokens, b.tokens)

    def last_of_two(obs):
        return FIRST + (torch.arange(len(obs["length"])) % 2)

    pairs = preference_pairs(COPY, 20, last_of_two, weights=MATCH, **SHORT)
    texts = zip(pairs.tokens.flatten(0, 1), pairs.length.flatten(), strict=True)
    answers = [tokens[n - 1].item() for tokens, n in texts]
    assert set(answers) == {FIRST, FIRST + 1}


def test_held_out_levels_are_in_no_training_pair():
    pairs = preference_pairs(COPY, 400, weights=MATCH, **SHORT)
    train, test = pairs.split(0.25, seed=3)
    assert len(train) + len(test) == 400
    assert not set(train.levels.tolist()) & set(test.levels.tolist())
    levels = len(pairs.levels.unique())
    assert len(test.levels.unique()) == round(0.25 * levels)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"count": 0}, "count"),
        ({"levels_at_once": 0}, "levels_at_once"),
        ({"noise": -1.0}, "noise is -1.0; it must be finite and not negative"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"policy": "best"}, "policy is 'best'; it must be \"random\", an SB3 model or policy, or a function"),
        ({"weights": {"exact": 0.0}}, "1024 episodes gave 0 pairs of 2 whose returns differ"),
    ],
)
def test_bad_requests_for_pairs(options, match):
    with pytest.raises(ValueError, match=match):
        preference_pairs(COPY, **{"count": 2, **SHORT, **options})


def test_a_policy_of_another_world_is_refused():
    model = PPO("TransformerPolicy", TensorVecEnv(ADDITION, 4, digits=1), n_steps=4, policy_kwargs={"backbone": SMALL})
    with pytest.raises(ValueError, match="the policy reads"):
        preference_pairs(COPY, 2, model, weights=MATCH, **SHORT)


def test_a_world_without_texts_is_refused():
    with pytest.raises(ValueError, match=r"PathPlanner-v0 .* needs tokens and length"):
        preference_pairs("PathPlanner-v0", 2)
