"""GRU and Hugging Face backbones, generation, and saving: against transformers, torch's own modules and enumeration."""

import importlib
import itertools
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from gymnasium import spaces
from tokenizers import Tokenizer
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig

from agents.backbones import Backbone, Layout, Transformer, TransformerConfig
from agents.backbones.gru import GRU, GRUConfig
from agents.backbones.huggingface import HuggingFace, HuggingFaceConfig
from agents.backbones.pretrained import from_pretrained, save_pretrained
from agents.generation import generate, select_rows
from agents.policies import TransformerPolicy
from llm_envs.vocabulary import END, character_tokenizer

V, T = 13, 12
NONE = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
}
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=V, n_positions=T, n_embd=16, n_layer=2, n_head=2, initializer_range=0.6, **NONE),
    "llama": LlamaConfig(vocab_size=V + 2, max_position_embeddings=T, **LLAMA, **NONE),
}
TRANSFORMER = {"width": 16, "layers": 2, "heads": 2}
KINDS = ["gru", "gpt2", "llama", "rotary", "learned"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Tiny random models on disk, one of each architecture, with the tokenizer of eleven characters."""
    found = {}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=character_tokenizer("abcdefghijk"))
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        AutoModelForCausalLM.from_config(config).save_pretrained(found[name])
        tokenizer.save_pretrained(found[name])
    return found


@pytest.fixture
def make(folders):
    def make(kind, vocab_size=V, window=T):
        torch.manual_seed(0)
        if kind == "gru":
            return GRU(vocab_size, window, GRUConfig(width=16, layers=2)).eval()
        if kind in CONFIGS:
            return HuggingFace(vocab_size, window, HuggingFaceConfig(path=str(folders[kind])))
        trunk = Transformer(vocab_size, window, TransformerConfig(positions=kind, **TRANSFORMER))
        with torch.no_grad():
            trunk.embedding.weight *= 10  # far from uniform
        return trunk.eval()

    return make


def layout_of(lengths, starts=None, reach=None):
    lengths = torch.tensor(lengths)
    starts = None if starts is None else torch.tensor(starts)
    return Layout.of(lengths, int(lengths.sum()), int(lengths.max()), starts, reach)


def scored(trunk, texts):
    """Return logits (L, V) of each text, from one pass over all of them."""
    layout = layout_of([len(text) for text in texts])
    x = trunk.embed(torch.cat(texts), layout.positions)
    return trunk.unembed(trunk.score(x, layout)).split([len(text) for text in texts])


# -------------------------------------------------------------------------------- cached reading equals scoring


def check_reading(trunk, steps, atol):
    """Three rows: one reads 4 tokens at once and goes on; one begins anew twice, of 1 and of 3 tokens; one reads on."""
    texts = [torch.randint(0, trunk.vocab_size, (steps + 4,)) for _ in range(6)]
    full = scored(trunk, texts)
    cache = trunk.new_cache(3)
    layout = layout_of([4, 2])
    x = trunk.embed(torch.cat((texts[0][:4], texts[1][:2])), layout.positions)
    first = trunk.unembed(trunk.prefill(x, layout, cache, torch.tensor([2, 0])))
    assert torch.allclose(first, torch.cat((full[0][:4], full[1][:2])), atol=atol)
    reading = {2: (0, 4), 0: (1, 2), 1: (2, 0)}  # row: which text, next position
    checked = 0
    for step in range(steps):
        late = None
        if step == 2:
            reading[0] = (3, 0)  # of one token: nothing is late
        if step == 3:
            reading[1] = (4, 2)  # of three: the first two are late
            layout = layout_of([2], reach=8)
            late = trunk.embed(texts[4][:2], layout.positions), layout, torch.tensor([1])
        if step == 4:  # reads on from its third, two tokens of which are late: the cache is right before them
            text, at = reading[0]
            layout = layout_of([2], starts=[at], reach=at + 3)
            late = trunk.embed(texts[text][at : at + 2], layout.positions), layout, torch.tensor([0])
            reading[0] = (text, at + 2)
        tokens = torch.stack([texts[reading[row][0]][reading[row][1]] for row in range(3)])
        positions = torch.tensor([reading[row][1] for row in range(3)])
        x = trunk.embed(tokens, positions)
        bound = min(trunk.window, int(positions.max()) + 3)
        found = trunk.unembed(trunk.decode(x, positions, cache, bound, late))
        for row in range(3):
            text, at = reading[row]
            assert torch.allclose(found[row], full[text][at], atol=atol), (step, row)
            reading[row] = (text, at + 1)
            checked += 1
    assert checked == 3 * steps


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_ragged_cached_reading_equals_scoring(make, kind):
    check_reading(make(kind), steps=8, atol=1e-5)


@torch.no_grad()
def test_gru_of_ten_thousand_words():
    torch.manual_seed(0)
    trunk = GRU(10_000, 32, GRUConfig(width=512)).eval()
    assert trunk.unembed(torch.zeros(2, 512)).shape == (2, 10_000)
    assert sum(p.numel() for p in trunk.parameters()) == 2 * 10_000 * 512 + 10_000 + 6 * 512 * 512 + 6 * 512
    check_reading(trunk, steps=8, atol=1e-5)


@torch.no_grad()
def test_gru_is_the_published_recurrence():
    """Cho et al.'s equations with PyTorch's reset gate, written out in numpy."""
    torch.manual_seed(0)
    trunk = GRU(V, T, GRUConfig(width=8)).double().eval()
    weights = {name: value.numpy() for name, value in trunk.state_dict().items()}
    text = torch.randint(0, V, (T,))

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = np.zeros(8)
    for token, found in zip(text.tolist(), scored(trunk, [text])[0], strict=True):
        x = weights["gru.weight_ih_l0"] @ weights["embedding.weight"][token] + weights["gru.bias_ih_l0"]
        u = weights["gru.weight_hh_l0"] @ h + weights["gru.bias_hh_l0"]
        reset, update = sigmoid(x[:8] + u[:8]), sigmoid(x[8:16] + u[8:16])
        h = (1 - update) * np.tanh(x[16:] + reset * u[16:]) + update * h
        expected = weights["output.weight"] @ h + weights["output.bias"]
        assert np.allclose(found.numpy(), expected, atol=1e-12)


def test_gru_options():
    tied = GRU(V, T, GRUConfig(width=8, tied=True))
    assert tied.output.weight is tied.embedding.weight
    with pytest.raises(ValueError, match="layers is 0"):
        GRUConfig(layers=0)
    with pytest.raises(ValueError, match="dropout is 1"):
        GRUConfig(dropout=1.0)


@pytest.mark.parametrize("kind", ["gru", "gpt2", "llama"])
@torch.no_grad()
def test_a_decode_step_reads_nothing_back(make, kind):
    """FakeTensorMode raises where a number would be read by the host."""
    trunk = make(kind)
    cache = trunk.new_cache(3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        positions = torch.zeros(3, dtype=torch.long)
        x = trunk.embed(torch.zeros(3, dtype=torch.long), positions)
        with pytest.raises(DataDependentOutputException):
            positions.sum().item()
        assert trunk.unembed(trunk.decode_now(x, positions, cache, 5)).shape == (3, V)


@pytest.mark.parametrize("kind", ["gru", "gpt2", "llama"])
def test_gradients_of_a_text_reach_every_weight(make, kind):
    trunk = make(kind).train()
    text = torch.arange(V).repeat(2)[: T - 2]
    loss = -scored(trunk, [text])[0].log_softmax(-1)[:-1].gather(1, text[1:, None]).mean()
    loss.backward()
    without = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


# -------------------------------------------------------------------------------- Hugging Face


@pytest.mark.parametrize("kind", list(CONFIGS))
@torch.no_grad()
def test_scores_are_transformers_own(make, folders, kind):
    trunk = make(kind)
    own = AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32).eval()
    texts = [torch.randint(0, V, (length,)) for length in (5, T, 1)]
    for found, text in zip(scored(trunk, texts), texts, strict=True):
        assert torch.allclose(found, own(text[None]).logits[0, :, :V], atol=1e-5)


def test_the_models_dropout_is_off_unless_asked_for(make, folders):
    texts = [torch.arange(8)]
    trunk = make("gpt2").train()  # its config has dropout 0.1
    assert torch.equal(scored(trunk, texts)[0], scored(trunk, texts)[0])
    trunk = HuggingFace(V, T, HuggingFaceConfig(str(folders["gpt2"]), dropout=True)).train()
    assert not torch.allclose(scored(trunk, texts)[0], scored(trunk, texts)[0])


def test_what_does_not_fit_is_refused(make, tmp_path):
    with pytest.raises(ValueError, match=f"window is {T + 1} tokens, .* has {T} positions"):
        make("gpt2", window=T + 1)
    with pytest.raises(ValueError, match=f"world has {V + 1} tokens"):
        make("gpt2", vocab_size=V + 1)
    with pytest.raises(ValueError, match="must be a folder"):
        HuggingFaceConfig(path="gpt2")
    sliding = transformers.MistralConfig(vocab_size=V, sliding_window=6, **LLAMA, **NONE)
    AutoModelForCausalLM.from_config(sliding).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="attends to the last 6"):
        HuggingFace(V, 7, HuggingFaceConfig(str(tmp_path)))
    assert HuggingFace(V, 6, HuggingFaceConfig(str(tmp_path))).window == 6
    scaled = transformers.GraniteConfig(vocab_size=V, logits_scaling=8.0, **LLAMA, **NONE)
    AutoModelForCausalLM.from_config(scaled).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="logits are off"):
        HuggingFace(V, 6, HuggingFaceConfig(str(tmp_path)))


@pytest.mark.parametrize("module", ["huggingface", "pretrained"])
def test_without_transformers_it_says_what_to_install(monkeypatch, module):
    for name in ("huggingface", "pretrained"):
        monkeypatch.delitem(sys.modules, f"agents.backbones.{name}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'llm-envs\[hf\]'"):
        importlib.import_module(f"agents.backbones.{module}")


# -------------------------------------------------------------------------------- generation

PROMPTS = [[3, 4, 5], [6], [7, 8], [9, 10, 11, 12]]


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_greedy_is_transformers_own(make, folders, kind):
    own = AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32)
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
def test_greedy_takes_the_best_of_a_full_pass(make, kind):
    trunk = make(kind)
    for prompt, row in zip(PROMPTS, generate(trunk, PROMPTS, temperature=0, end_token=2), strict=True):
        text = list(prompt)
        while len(text) - len(prompt) < T - 4:
            text.append(int(scored(trunk, [torch.tensor(text)])[0][-1].argmax()))
            if text[-1] == 2:
                break
        assert row == text[len(prompt) :]


@pytest.mark.parametrize(("end_token", "length_penalty"), [(1, 1.0), (1, 0.0), (1, 2.0), (None, 1.0)])
def test_beam_search_is_transformers_own(make, folders, end_token, length_penalty):
    own = AutoModelForCausalLM.from_pretrained(folders["gpt2"], dtype=torch.float32)
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
def test_beam_search_with_enough_beams_finds_the_best_of_all(make, kind, length_penalty):
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

    def prefill(self, x, layout, cache, into):
        return x

    def decode_now(self, x, positions, cache, bound):
        return x


@pytest.mark.parametrize(("length_penalty", "best"), [(1.0, [2, 2, 2, 2]), (0.0, [1])])
def test_beam_search_goes_on_while_a_longer_text_can_become_better(length_penalty, best):
    """Ending at once has probability 0.4; 2, then 2 again and again, 0.35 and 0.98 each: less, but more on average."""
    trunk = Chain([[0.25, 0.4, 0.35], [1 / 3, 1 / 3, 1 / 3], [0.01, 0.01, 0.98]])
    assert generate(trunk, [[0]], 4, beams=2, end_token=1, length_penalty=length_penalty) == [best]


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6}])
@torch.no_grad()
def test_samples_follow_the_distribution(make, options):
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


def test_texts_go_in_and_come_out(make, folders):
    trunk = make("llama")
    tokens = generate(trunk, [[2, 3, 4], [5]], max_new_tokens=5, temperature=0)
    texts = ["abc", "d"]
    own = AutoTokenizer.from_pretrained(folders["llama"])
    mine = character_tokenizer("abcdefghijk")
    expected = [mine.decode(row) for row in tokens]
    assert generate(trunk, texts, max_new_tokens=5, temperature=0) == expected  # by the folder's tokenizer
    for tokenizer in (own, mine):
        assert generate(trunk, texts, max_new_tokens=5, temperature=0, tokenizer=tokenizer) == expected


def test_generate_refuses_and_restores(make):
    trunk = make("gru").train()
    assert generate(trunk, []) == []
    for prompts, options, message in (
        ([[1], []], {}, "a prompt is empty"),
        ([[V]], {}, f"they must be 0 to {V - 1}"),
        ([[1] * T], {}, "do not fit"),
        ([[1]], {"max_new_tokens": T}, "do not fit"),
        ([[1]], {"max_new_tokens": 0}, "do not fit"),
        (["a"], {}, "with a tokenizer"),
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
    found = select_rows(cache, torch.tensor([2, 2, 0, 1]), 0)
    assert found["a"][0].tolist() == [[4, 5], [4, 5], [0, 1], [2, 3]]
    assert found["b"][0].tolist() == [2, 2, 0, 1]
    with pytest.raises(TypeError, match="a cache holds a str"):
        select_rows("abc", torch.tensor([0]), 0)


# -------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("kind", ["rotary", "learned"])
def test_a_saved_transformer_is_a_model_of_transformers(make, tmp_path, kind):
    trunk = make(kind)
    save_pretrained(trunk, tmp_path, character_tokenizer("abcdefghijk"))
    own = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    text = torch.randint(2, V, (1, T))
    with torch.no_grad():
        assert torch.allclose(own(text).logits[0], scored(trunk, [text[0]])[0], atol=1e-5)
        expected = own.generate(text[:, :3], max_new_tokens=T - 3, do_sample=False)[0, 3:].tolist()
    assert generate(trunk, text[:, :3].tolist(), temperature=0, end_token=END) == [expected]
    assert own.generation_config.eos_token_id == END

    loaded = from_pretrained(tmp_path)
    assert loaded.config == trunk.config
    state = trunk.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    written = generate(loaded, ["ab"], max_new_tokens=4, temperature=0)
    assert written == generate(trunk, ["ab"], 4, temperature=0, tokenizer=character_tokenizer("abcdefghijk"))
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("ab").ids == [2, 3]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in tmp_path.iterdir()}

    again = HuggingFace(V, T, HuggingFaceConfig(str(tmp_path)))
    assert torch.allclose(scored(again, [text[0]])[0], scored(trunk, [text[0]])[0], atol=1e-5)


def test_a_trained_hugging_face_model_is_saved_as_it_is(make, tmp_path):
    trunk = make("llama")
    with torch.no_grad():
        trunk.model.get_input_embeddings().weight += 1
    save_pretrained(trunk, tmp_path)
    again = HuggingFace(V, T, HuggingFaceConfig(str(tmp_path)))
    assert torch.equal(again.embed(torch.arange(V), torch.arange(V)), trunk.embed(torch.arange(V), torch.arange(V)))
    assert again.tokenizer.encode("ab") == [2, 3]


def test_saving_and_loading_refuse_what_has_no_format(make, folders, tmp_path):
    with pytest.raises(ValueError, match="for a GRU"):
        save_pretrained(make("gru"), tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a gpt2 model"):
        from_pretrained(folders["gpt2"])
    AutoModelForCausalLM.from_config(transformers.ArceeConfig(vocab_size=V, **LLAMA, **NONE)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_key_value_heads = 2, our transformer has 4"):
        from_pretrained(tmp_path)
