"""GRU and Hugging Face backbones, and saving: against transformers, torch's own modules and the published equations."""

import importlib
import sys

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CONFIGS, KINDS, LLAMA, NONE, T, V, folder, layout_of, make, scored
from tokenizers import Tokenizer
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from transformers import AutoModelForCausalLM

from agents.backbones.gru import GRU, GRUConfig
from agents.backbones.hf_format import from_pretrained, save_pretrained
from agents.backbones.huggingface import HuggingFace, HuggingFaceConfig
from agents.policies.generation import generate
from llm_envs.vocabulary import END, character_tokenizer

# -------------------------------------------------------------------------------- cached reading equals scoring


def check_reading(trunk, steps, atol):
    """Three rows: one reads 4 tokens at once and continues; one restarts twice, of 1 and of 3 tokens; one continues."""
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
        pending = None
        if step == 2:
            reading[0] = (3, 0)  # of one token: nothing is pending
        if step == 3:
            reading[1] = (4, 2)  # of three: the first two are pending
            layout = layout_of([2], max_position=8)
            pending = trunk.embed(texts[4][:2], layout.positions), layout, torch.tensor([1])
        if step == 4:  # reads on from its third, two tokens of which are pending: the cache is right before them
            text, at = reading[0]
            layout = layout_of([2], starts=[at], max_position=at + 3)
            pending = trunk.embed(texts[text][at : at + 2], layout.positions), layout, torch.tensor([0])
            reading[0] = (text, at + 2)
        tokens = torch.stack([texts[reading[row][0]][reading[row][1]] for row in range(3)])
        positions = torch.tensor([reading[row][1] for row in range(3)])
        x = trunk.embed(tokens, positions)
        max_position = min(trunk.window, int(positions.max()) + 3)
        found = trunk.unembed(trunk.decode(x, positions, cache, max_position, pending))
        for row in range(3):
            text, at = reading[row]
            assert torch.allclose(found[row], full[text][at], atol=atol), (step, row)
            reading[row] = (text, at + 1)
            checked += 1
    assert checked == 3 * steps


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_ragged_cached_reading_equals_scoring(kind):
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
def test_a_decode_step_reads_nothing_back(kind):
    """FakeTensorMode raises where a number would be read by the host."""
    trunk = make(kind)
    cache = trunk.new_cache(3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        positions = torch.zeros(3, dtype=torch.long)
        x = trunk.embed(torch.zeros(3, dtype=torch.long), positions)
        with pytest.raises(DataDependentOutputException):
            positions.sum().item()
        assert trunk.unembed(trunk.decode_step(x, positions, cache, 5)).shape == (3, V)


@pytest.mark.parametrize("kind", ["gru", "gpt2", "llama"])
def test_gradients_of_a_text_reach_every_weight(kind):
    trunk = make(kind).train()
    text = torch.arange(V).repeat(2)[: T - 2]
    loss = -scored(trunk, [text])[0].log_softmax(-1)[:-1].gather(1, text[1:, None]).mean()
    loss.backward()
    without = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


# -------------------------------------------------------------------------------- Hugging Face


@pytest.mark.parametrize("kind", list(CONFIGS))
@torch.no_grad()
def test_scores_are_transformers_own(kind):
    trunk = make(kind)
    own = AutoModelForCausalLM.from_pretrained(folder(kind), dtype=torch.float32).eval()
    texts = [torch.randint(0, V, (length,)) for length in (5, T, 1)]
    for found, text in zip(scored(trunk, texts), texts, strict=True):
        assert torch.allclose(found, own(text[None]).logits[0, :, :V], atol=1e-5)


def test_the_models_dropout_is_off_unless_asked_for():
    texts = [torch.arange(8)]
    trunk = make("gpt2").train()  # its config has dropout 0.1
    assert torch.equal(scored(trunk, texts)[0], scored(trunk, texts)[0])
    trunk = HuggingFace(V, T, HuggingFaceConfig(str(folder("gpt2")), dropout=True)).train()
    assert not torch.allclose(scored(trunk, texts)[0], scored(trunk, texts)[0])


def test_what_does_not_fit_is_refused(tmp_path):
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


@pytest.mark.parametrize("module", ["huggingface", "hf_format", "hf_architecture"])
def test_without_transformers_it_says_what_to_install(monkeypatch, module):
    for name in ("huggingface", "hf_format", "hf_architecture"):
        monkeypatch.delitem(sys.modules, f"agents.backbones.{name}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'llm-envs\[hf\]'"):
        importlib.import_module(f"agents.backbones.{module}")


# -------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("kind", ["rotary", "learned"])
def test_a_saved_transformer_is_a_model_of_transformers(tmp_path, kind):
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


def test_a_trained_hugging_face_model_is_saved_as_it_is(tmp_path):
    trunk = make("llama")
    with torch.no_grad():
        trunk.model.get_input_embeddings().weight += 1
    save_pretrained(trunk, tmp_path)
    again = HuggingFace(V, T, HuggingFaceConfig(str(tmp_path)))
    assert torch.equal(again.embed(torch.arange(V), torch.arange(V)), trunk.embed(torch.arange(V), torch.arange(V)))
    assert again.tokenizer.encode("ab") == [2, 3]


def test_saving_and_loading_refuse_what_has_no_format(tmp_path):
    with pytest.raises(ValueError, match="for a GRU"):
        save_pretrained(make("gru"), tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a gpt2 model"):
        from_pretrained(folder("gpt2"))
    AutoModelForCausalLM.from_config(transformers.ArceeConfig(vocab_size=V, **LLAMA, **NONE)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_key_value_heads = 2, our transformer has 4"):
        from_pretrained(tmp_path)
