"""Generation: greedy and beam search against transformers and enumeration, samples against the softmax."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from tiny_models import CONFIGS, KINDS, T, V, folder, make, scored
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents.backbones import Backbone
from agents.policies.generation import generate, select_cache_rows
from agents.policies.policy import TransformerPolicy
from llm_envs.vocabulary import character_tokenizer, fingerprint

PROMPTS = [[3, 4, 5], [6], [7, 8], [9, 10, 11, 12]]


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_greedy_is_transformers_own(kind):
    own = AutoModelForCausalLM.from_pretrained(folder(kind), dtype=torch.float32)
    found = generate(make(kind), PROMPTS, max_new_tokens=8, temperature=0)
    for prompt, continuation in zip(PROMPTS, found, strict=True):
        text = torch.tensor([prompt])
        with torch.no_grad():
            expected = own.generate(
                text,
                attention_mask=torch.ones_like(text),
                max_new_tokens=8,
                do_sample=False,
                suppress_tokens=list(range(V, own.config.vocab_size)) or None,  # tokens that the world does not have
            )
        assert continuation == expected[0, len(prompt) :].tolist()
    assert len({tuple(row) for row in found}) == 4


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_greedy_takes_the_best_of_a_full_pass(kind):
    trunk = make(kind)
    for prompt, row in zip(PROMPTS, generate(trunk, PROMPTS, temperature=0, end_token=2), strict=True):
        text = list(prompt)
        while len(text) - len(prompt) < T - 4:
            text.append(int(scored(trunk, [torch.tensor(text)])[0][-1].argmax()))
            if text[-1] == 2:
                break
        assert row == text[len(prompt) :]


@pytest.mark.parametrize(("end_token", "length_penalty"), [(1, 1.0), (1, 0.0), (1, 2.0), (None, 1.0)])
def test_beam_search_is_transformers_own(end_token, length_penalty):
    own = AutoModelForCausalLM.from_pretrained(folder("gpt2"), dtype=torch.float32)
    options = {"beams": 3, "end_token": end_token, "length_penalty": length_penalty}
    prompts = [*PROMPTS, *([t] for t in range(3, V))]
    found = generate(make("gpt2"), prompts, max_new_tokens=6, **options)
    for prompt, continuation in zip(prompts, found, strict=True):
        text = torch.tensor([prompt])
        with torch.no_grad():
            expected = own.generate(
                text,
                attention_mask=torch.ones_like(text),
                max_new_tokens=6,
                do_sample=False,
                num_beams=3,
                early_stopping="never",
                length_penalty=length_penalty,
                eos_token_id=end_token,
                pad_token_id=0,
            )[0, len(prompt) :].tolist()
        if end_token in expected:
            expected = expected[: expected.index(end_token) + 1]
        assert continuation == expected
    assert len({len(row) for row in found}) > 1 or end_token is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -1.0])
@torch.no_grad()
def test_beam_search_with_enough_beams_finds_the_best_of_all(kind, length_penalty):
    """Against every continuation of up to four tokens out of four, scored one by one."""
    trunk, end, count = make(kind, vocab_size=4), 1, 4
    prompts = [[2, 3], [0]]
    found = generate(trunk, prompts, count, beams=128, end_token=end, length_penalty=length_penalty)
    going = [t for t in range(4) if t != end]
    ended = [(*body, end) for length in range(count) for body in itertools.product(going, repeat=length)]
    candidates = [*ended, *itertools.product(going, repeat=count)]
    assert len(candidates) == 121
    for prompt, best in zip(prompts, found, strict=True):
        texts = [torch.tensor([*prompt, *candidate]) for candidate in candidates]
        values = []
        for text, candidate, logits in zip(texts, candidates, scored(trunk, texts), strict=True):
            log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, text[len(prompt) :, None])
            values.append(float(log_probs.sum()) / len(candidate) ** length_penalty)
        assert tuple(best) == candidates[int(np.argmax(values))]


class Chain(Backbone):
    """The next token depends on the last one alone."""

    def __init__(self, probs):
        super().__init__()
        self.width = self.vocab_size = len(probs)
        self.window = 8
        self.logits = torch.nn.Parameter(torch.tensor(probs).log())

    def embed(self, tokens, positions):
        return torch.nn.functional.one_hot(tokens, self.width).float()

    def unembed(self, features):
        return features @ self.logits

    def new_cache(self, rows):
        return torch.zeros(1, rows)

    def prefill(self, x, layout, cache, cache_rows):
        return x

    def decode_step(self, x, positions, cache, max_position):
        return x


@pytest.mark.parametrize(("length_penalty", "best"), [(1.0, [2, 2, 2, 2]), (0.0, [1])])
def test_beam_search_goes_on_while_a_longer_text_can_become_better(length_penalty, best):
    """Ending at once has probability 0.4; 2, then 2 again and again, 0.35 and 0.98 each: less, but more on average."""
    trunk = Chain([[0.25, 0.4, 0.35], [1 / 3, 1 / 3, 1 / 3], [0.01, 0.01, 0.98]])
    assert generate(trunk, [[0]], 4, beams=2, end_token=1, length_penalty=length_penalty) == [best]


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6}])
@torch.no_grad()
def test_samples_follow_the_distribution(options):
    """4,000 draws of two tokens; chi-square against the softmax, its bound exceeded once in a million."""
    trunk = make("gru", vocab_size=6)
    with torch.no_grad():
        trunk.output.weight *= 3
    count = 4_000
    drawn = np.array(generate(trunk, [[1, 2]] * count, max_new_tokens=2, seed=0, **options))
    assert np.array_equal(drawn, generate(trunk, [[1, 2]] * count, max_new_tokens=2, seed=0, **options))
    for prefix in ([1, 2], [1, 2, int(np.bincount(drawn[:, 0]).argmax())]):
        probs = scored(trunk, [torch.tensor(prefix)])[0][-1].double().div(options.get("temperature", 1)).softmax(0)
        probs = probs.numpy()
        order = np.argsort(-probs)
        kept = options.get("top_k", 6)
        if "top_p" in options:
            kept = int(np.searchsorted(np.cumsum(probs[order]), options["top_p"])) + 1
        probs[order[kept:]] = 0
        rows = drawn if len(prefix) == 2 else drawn[drawn[:, 0] == prefix[2]]
        counts = np.bincount(rows[:, len(prefix) - 2], minlength=6)
        assert counts[probs == 0].sum() == 0
        expected = probs[order[:kept]] / probs.sum() * len(rows)
        chi_square = ((counts[order[:kept]] - expected) ** 2 / expected).sum()
        # Wilson-Hilferty: the quantile of chi-square at 4.75 standard deviations.
        freedom = max(kept - 1, 1)
        assert chi_square < freedom * (1 - 2 / (9 * freedom) + 4.75 * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("kind", ["gru", "transformer"])
@torch.no_grad()
def test_a_policy_marks_what_it_wrote(kind):
    """Greedy continuations are the policy's own most likely actions, with its mask of written tokens."""
    fields = {"tokens": (T, V - 1), "token_mask": (T, 1), "length": (1, T)}
    space = spaces.Dict({name: spaces.Box(0, high, (size,), np.int32) for name, (size, high) in fields.items()})
    torch.manual_seed(0)
    backbone = {"kind": kind, "width": 16, "layers": 1}
    policy = TransformerPolicy(space, spaces.Discrete(V), lambda _: 1e-3, backbone=backbone)
    policy.mask_embedding.weight *= 50
    prompt = [3, 4, 5]
    (found,) = generate(SimpleNamespace(policy=policy), [prompt], max_new_tokens=6, temperature=0)
    tokens, mask = (torch.zeros(1, policy.trunk.window, dtype=torch.int64) for _ in range(2))
    tokens[0, :3] = torch.tensor(prompt)
    for length, token in enumerate(found, start=3):
        obs = {"tokens": tokens, "token_mask": mask, "length": torch.tensor([[length]])}
        assert int(policy.get_distribution(obs).mode()) == token
        tokens[0, length], mask[0, length] = token, 1
    assert generate(policy.trunk, [prompt], max_new_tokens=6, temperature=0) != [found]


def test_texts_go_in_and_come_out():
    trunk = make("llama")
    tokens = generate(trunk, [[2, 3, 4], [5]], max_new_tokens=5, temperature=0)
    texts = ["abc", "d"]
    own = AutoTokenizer.from_pretrained(folder("llama"))
    mine = character_tokenizer("abcdefghijk")
    expected = [mine.decode(row) for row in tokens]
    assert generate(trunk, texts, max_new_tokens=5, temperature=0) == expected  # by the folder's tokenizer
    for tokenizer in (own, mine):
        assert generate(trunk, texts, max_new_tokens=5, temperature=0, tokenizer=tokenizer) == expected


def test_a_policy_is_asked_in_the_words_that_it_has_learned():
    """Equal numbers of another vocabulary are other words; tokens have no words to compare."""
    space = spaces.Dict({"tokens": spaces.Box(0, 3, (8,), np.int32), "length": spaces.Box(0, 8, (1,), np.int32)})
    backbone = {"kind": "gru", "width": 8, "layers": 1}
    policy = TransformerPolicy(space, spaces.Discrete(4), lambda _: 1e-3, backbone=backbone)
    own, other = character_tokenizer("ab"), character_tokenizer("ba")
    policy.vocabulary = fingerprint(own)
    for prompts, tokenizer in ((["ab"], own), ([[2, 3]], None), ([[2, 3]], other)):
        assert len(generate(policy, prompts, max_new_tokens=1, tokenizer=tokenizer)) == 1
    with pytest.raises(ValueError, match="another vocabulary than the one that the policy was trained with"):
        generate(policy, ["ab"], max_new_tokens=1, tokenizer=other)


def test_generate_refuses_and_restores():
    trunk = make("gru").train()
    assert generate(trunk, []) == []
    for prompts, options, message in (
        ([[1], []], {}, "a prompt is empty"),
        ([[V]], {}, f"they must be 0 to {V - 1}"),
        ([[1] * T], {}, "do not fit"),
        ([[1]], {"max_new_tokens": T}, "do not fit"),
        ([[1]], {"max_new_tokens": 0}, "do not fit"),
        (["a"], {}, "with a tokenizer"),
        ("a", {"tokenizer": character_tokenizer("a")}, "prompts is one text, 'a'; it must be a list"),
        (b"a", {}, "prompts is one text"),
        (["aAé"], {"tokenizer": character_tokenizer("a")}, "the vocabulary lacks 'A', 'é', in the text 'aAé'"),
        ([["1"]], {}, "it must be a text or a list of integer tokens"),
        ([[1.5]], {}, "it must be a text or a list of integer tokens"),
        ([3], {}, "it must be a text or a list of integer tokens"),
        (["a", [1]], {"tokenizer": character_tokenizer("a")}, "not some of each"),
        ([[1]], {"beams": 0}, "beams is 0"),
        ([[1]], {"beams": 2, "top_k": 2}, "does not sample"),
        ([[1]], {"temperature": -1.0}, "temperature is -1"),
        ([[1]], {"top_p": 0.0}, "top_p is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(trunk, prompts, **options)
    with pytest.raises(ValueError, match="Linear reads no tokens"):
        generate(torch.nn.Linear(1, 1), [[1]])
    generate(trunk, [[1]], max_new_tokens=1)
    assert trunk.training


def test_rows_of_nested_caches():
    cache = {"a": [torch.arange(6).view(3, 2)], "b": (torch.arange(3),)}
    found = select_cache_rows(cache, torch.tensor([2, 2, 0, 1]), 0)
    assert found["a"][0].tolist() == [[4, 5], [4, 5], [0, 1], [2, 3]]
    assert found["b"][0].tolist() == [2, 2, 0, 1]
    with pytest.raises(TypeError, match="a cache holds a str"):
        select_cache_rows("abc", torch.tensor([0]), 0)
