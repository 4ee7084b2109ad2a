"""Reward callables: what they are shown, how they are paid and logged, and what happens when they are wrong."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

import llm_envs
from llm_envs.rewards import Reward

ADDITION = "Tokens/Addition-v0"
ZERO, END = 4, 1  # tokens: the digit d is ZERO + d
NAN = float("nan")


def make(*rewards, num_envs=3, **options):
    """Return a batch on the one problem 2 + 3, whose right answer is "5" <end>."""
    batch = llm_envs.make_batch(ADDITION, num_envs, levels=[(2, 3)], rewards=rewards, **options)
    batch.reset(0)
    return batch


def right_first(batch):
    """Let row 0 answer "5" <end>, row 1 "6" <end>, and row 2 "55"; return the second step."""
    batch.step(torch.tensor([ZERO + 5, ZERO + 6, ZERO + 5]))
    return batch.step(torch.tensor([END, END, ZERO + 5]))


def longer(transition):
    """Return how much longer the text became, for every row."""
    return (transition.obs["length"] - transition.before["length"])[:, 0].float()


def test_terms_are_weighted_and_logged_unweighted_by_name():
    batch = make(longer, (lambda t: t.signals["exact"] * 2, -3.0), Reward(longer, 0.25, name="again"))
    step = right_first(batch)
    assert list(step.signals) == ["exact", "match", "length", "wellformed", "longer", "lambda", "again"]
    assert step.signals["longer"].tolist() == step.signals["again"].tolist() == [1, 1, 1]
    assert step.signals["lambda"].tolist() == [2, 0, 0]
    assert step.reward.tolist() == [1 + 1 - 6 + 0.25, 1.25, 1.25]
    assert step.reward.dtype == step.signals["lambda"].dtype == torch.float32


def test_a_term_comes_on_top_of_the_weights_of_signals():
    step = right_first(make((longer, 10.0), weights={"exact": 5.0, "wellformed": 1.0}))
    assert step.reward.tolist() == [5 + 1 + 10, 1 + 10, 10]


def test_nan_pays_nothing_and_is_logged():
    step = right_first(make((lambda t: torch.tensor([NAN, 7.0, NAN]), 2.0)))
    assert step.reward.tolist() == [1, 14, 0]
    assert step.signals["lambda"].isnan().tolist() == [True, False, True]


def test_a_callable_sees_before_and_after_with_the_true_end():
    """After an end `obs` is what the episode ended with, not the next prompt, and `before` is no live view."""
    seen = []
    batch = make(lambda t: (seen.append(t), torch.zeros(3))[1])
    right_first(batch)
    assert [t.before["length"].flatten().tolist() for t in seen] == [[4] * 3, [5] * 3]
    second = seen[1]
    assert second.obs["length"].flatten().tolist() == [6, 6, 6]
    assert second.obs["tokens"][:, :7].tolist() == [
        [ZERO + 2, 2, ZERO + 3, 3, ZERO + 5, END, 0],
        [ZERO + 2, 2, ZERO + 3, 3, ZERO + 6, END, 0],
        [ZERO + 2, 2, ZERO + 3, 3, ZERO + 5, ZERO + 5, 0],
    ]
    assert second.texts == ["2+3=5<end>", "2+3=6<end>", "2+3=55"]
    assert second.action.tolist() == [END, END, ZERO + 5]
    assert second.terminated.tolist() == [True, True, False]
    assert second.truncated.tolist() == [False] * 3
    assert second.signals["exact"].tolist() == [1, 0, 0]
    assert second.before["tokens"][:, 5].tolist() == [0, 0, 0]


def test_at_end_is_called_for_ended_rows_alone():
    calls = []

    def judge(transition):
        calls.append(transition.texts)
        return torch.arange(1.0, 1.0 + len(transition.texts))

    batch = make(Reward(judge, 2.0, at_end=True))
    step = right_first(batch)
    assert calls == [["2+3=5<end>", "2+3=6<end>"]]
    assert step.signals["judge"].tolist() == [1, 2, 0]
    assert step.reward.tolist() == [1 + 2, 4, 0]
    step = batch.step(torch.full((3,), ZERO))  # none ends: what was logged does not stay
    assert step.signals["judge"].tolist() == [0, 0, 0]
    assert step.reward.tolist() == [0, 0, 0]
    assert len(calls) == 1


def test_at_end_takes_a_time_limit_for_an_end():
    step = make(Reward(longer, at_end=True), max_steps=1).step(torch.full((3,), ZERO))
    assert step.truncated.all()
    assert step.signals["longer"].tolist() == [1, 1, 1]


def test_on_text_gets_strings_and_may_return_a_list():
    seen = []

    def count_fives(texts):
        seen.append(texts)
        return [text.count("5") for text in texts]

    step = right_first(make(Reward(count_fives, on_text=True)))
    assert seen[1] == ["2+3=5<end>", "2+3=6<end>", "2+3=55"]
    assert step.signals["count_fives"].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "rewards",
    [(longer, longer), (Reward(longer, name="exact"),), (lambda t: 0, lambda t: 1)],
    ids=["the same twice", "a signal's", "two without names"],
)
def test_a_name_is_given_once(rewards):
    with pytest.raises(ValueError, match="two reward terms are called"):
        make(*rewards)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="must be a function of a transition, not 'bleu'"):
        make("bleu")


WRONG = {
    "shape": (lambda t: torch.zeros(2), "'wrong' returned shape \\(2,\\); it must be \\(3,\\)"),
    "column": (lambda t: torch.zeros(3, 1), "'wrong' returned shape \\(3, 1\\)"),
    "type": (lambda t: [0.0, 0.0, 0.0], "'wrong' returned list; it must return a torch.Tensor"),
    "array": (lambda t: np.zeros(3), "'wrong' returned ndarray"),
    "device": (lambda t: torch.zeros(3, device="meta"), "'wrong' returned a tensor on meta, not cpu"),
    "nan": (lambda t: torch.full((3,), NAN), "'wrong' is NaN in every row"),
    "infinite": (lambda t: torch.tensor([0.0, math.inf, 1.0]), "'wrong' returned an infinite value"),
    "minus infinite": (lambda t: torch.tensor([0.0, -math.inf, NAN]), "'wrong' returned an infinite value"),
    "beyond float32": (lambda t: torch.full((3,), 1e300, dtype=torch.float64), "one that float32 cannot hold"),
    "complex": (lambda t: torch.zeros(3, dtype=torch.complex64), "'wrong' returned torch.complex64"),
    "too much in all": (lambda t: torch.full((3,), 3e38), "'wrong' returned up to 3e\\+38, with weight 2"),
    "writes": (lambda t: t.terminated.fill_(True).float(), "'wrong' wrote into its transition"),
    "writes a field": (lambda t: (t.obs["length"].add_(1), torch.zeros(3))[1], "'wrong' wrote into its transition"),
    "writes a view": (lambda t: (t.before["tokens"][0].fill_(1), torch.zeros(3))[1], "'wrong' wrote into"),
    "replaces": (lambda t: (t.obs.update(length=t.action), torch.zeros(3))[1], "'wrong' wrote into its transition"),
}


class Broken(Exception):
    """An exception that nothing but a test raises."""


def breaks(transition):
    raise Broken("a judge that cannot be reached")


@pytest.mark.parametrize("kind", [*WRONG, "exception"])
def test_an_error_leaves_the_batch_as_it_was_and_usable(kind):
    """The exception comes through as it is; the batch is bit-identical to before and goes on as a twin does."""
    function, error, match = breaks, Broken, "cannot be reached"
    if kind in WRONG:
        (function, match), error = WRONG[kind], ValueError
    armed = []
    batch = make(longer, Reward(lambda t: function(t) if armed else torch.ones(3), 2.0, name="wrong"))
    twin = make(longer, Reward(lambda t: torch.ones(3), 2.0, name="wrong"))
    actions = torch.tensor([ZERO + 5, ZERO + 6, ZERO + 5])
    for one in (batch, twin):
        one.step(actions)
    before, logged = batch.save_buffers(), {k: v.clone() for k, v in batch.tensors.signals.items()}
    last = batch.last_action.clone()
    armed.append(True)
    with pytest.raises(error, match=match):
        batch.step(torch.tensor([END, END, ZERO]))
    assert batch.save_buffers() == before
    assert torch.equal(batch.last_action, last)
    assert all(torch.equal(batch.tensors.signals[name], value) for name, value in logged.items())
    armed.clear()
    for _ in range(5):
        for one in (batch, twin):
            one.step(actions)
        assert batch.save_buffers() == twin.save_buffers()


WRONG_LISTS = {
    "None": lambda texts: [None] * len(texts),
    "a string": lambda texts: ["1.0"] * len(texts),
    "nested": lambda texts: [[1.0], [2.0, 3.0], [4.0]],
    "no list": lambda texts: object(),
    "a mapping": lambda texts: dict.fromkeys(texts, 1.0),
}


@pytest.mark.parametrize("kind", WRONG_LISTS)
def test_what_a_judge_of_texts_returns_is_checked(kind):
    batch = make(Reward(WRONG_LISTS[kind], on_text=True, name="judge"))
    before = batch.save_buffers()
    with pytest.raises(ValueError, match="reward 'judge' returned"):
        batch.step(torch.full((3,), ZERO))
    assert batch.save_buffers() == before


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_at_end_may_abstain_in_every_row_that_ends(rows):
    """Which rows end in one step is chance; a term that applies to none of them pays nothing, as for one of them."""
    batch = make(Reward(lambda texts: [NAN] * len(texts), at_end=True, on_text=True, name="judge"), num_envs=rows)
    step = batch.step(torch.full((rows,), END))
    assert step.terminated.all()
    assert step.reward.tolist() == [0.0] * rows
    assert step.signals["judge"].isnan().all()


def test_a_term_cannot_change_what_the_step_left():
    """NumPy views write behind torch's back, but into copies."""

    def forge(transition):
        transition.terminated.numpy()[:] = True
        transition.action.numpy()[:] = 0
        transition.signals["exact"].numpy()[:] = 9
        transition.obs["length"].numpy()[:] = 0
        transition.texts.clear()
        return torch.zeros(3)

    batch, twin = make(forge), make()
    for one in (batch, twin):
        right_first(one)
    assert batch.save_buffers() == twin.save_buffers()
    assert batch.last_action.tolist() == [END, END, ZERO + 5]


@pytest.mark.parametrize("weight", ["2", None, True, math.nan, math.inf, 1e308, 10**40, [1.0], torch.ones(2)])
def test_weights_that_a_reward_cannot_hold_are_refused_when_given(weight):
    """One rule for signals and for terms, however they are given."""
    for given in (
        lambda: Reward(longer, weight),
        lambda: make((longer, weight)),
        lambda: make(weights={"exact": weight}),
    ):
        with pytest.raises(ValueError, match=r"the weight of '(longer|exact)' is .*; it must be a finite number"):
            given()


@pytest.mark.parametrize(
    ("rewards", "match"),
    [
        ([(longer, 1.0, "name")], "a tuple must be a function and its weight"),
        ([Reward(longer), None], "must be a function of a transition, not None"),
    ],
)
def test_terms_of_the_wrong_form_are_refused(rewards, match):
    with pytest.raises(TypeError, match=match):
        make(*rewards)


@pytest.mark.parametrize(("name", "value"), [("at_end", "no"), ("on_text", 1), ("name", 5)])
def test_options_of_the_wrong_kind_are_refused(name, value):
    with pytest.raises(TypeError, match=name):
        Reward(longer, **{name: value})


def test_gymnasium_views_log_terms_too():
    env = gym.make(ADDITION, levels=[(2, 3)], rewards=[(longer, 0.5)])
    env.reset(seed=0)
    *_, info = env.step(ZERO + 5)
    assert info["signals/longer"] == 1.0
    envs = gym.make_vec(ADDITION, 2, levels=[(2, 3)], rewards=[(longer, 0.5)])
    envs.reset(seed=0)
    _, rewards, *_, infos = envs.step(np.array([ZERO + 5, ZERO]))
    assert rewards.tolist() == [0.5, 0.5]
    assert infos["signals/longer"].tolist() == [1, 1]
