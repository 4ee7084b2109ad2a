"""Generation from prompts: greedy decoding, sampling or beam search, with work proportional to the tokens.

All prompts are prefilled in one pass into a key/value cache (or into hidden states); then every row decodes one token
at a time, at its own position. `generate` is the entry point; the rest are its parts. N rows, V vocabulary.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from agents.backbones import Backbone, Layout
from agents.policies.sampling import Sampling, adjusted_log_probs, top_k_top_p_mask
from llm_envs.validation import quote
from llm_envs.vocabulary import encode, fingerprint

Embed = Callable[[Tensor, Tensor, bool], Tensor]  # tokens, positions (P,), whether the model generated them -> (P, D)


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[str] | Sequence[Sequence[int]],
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    beams: int = 1,
    end_token: int | None = None,
    seed: int | None = None,
    tokenizer: Any = None,
    length_penalty: float = 1.0,
) -> list[str] | list[list[int]]:
    """Return the continuation of each prompt, in the prompts' own form: texts, or lists of tokens.

    Args:
        model: a `Backbone`, an SB3 policy with one as its `trunk`, or an SB3 model with such a policy. Dropout is off.
        prompts: N texts, or lists of at least one token each; lengths may differ.
        max_new_tokens: most tokens to generate; None: as many as fit into the window after the longest prompt.
        temperature: divides the logits; 0 is greedy decoding.
        top_k: sample from the k most probable tokens only (Fan et al., 2018); 0: from all.
        top_p: sample from the fewest tokens whose probabilities reach p (Holtzman et al., 2020).
        beams: width of a beam search, which is deterministic; 1: no beam search. See `beam_search`.
        end_token: a continuation ends with it, and includes it; None: all are `max_new_tokens` long.
        seed: of sampling; None: torch's default generator.
        tokenizer: of `tokenizers` or `transformers`, for prompts that are texts; None: the backbone's own, if it has
            one. Returned texts are decoded without special tokens.
        length_penalty: exponent of the beam search; see there.

    Raises:
        ValueError: an argument out of range, one text in place of a list, an empty prompt, a text longer than the
            window or with words that the vocabulary lacks, a tokenizer of another vocabulary than the policy
            learned, or a policy whose actions are not the tokens it reads.
    """
    policy = getattr(model, "policy", model)
    trunk, embed = token_model(policy)
    if isinstance(prompts, (str, bytes)):
        raise ValueError(f"prompts is one text, {quote(prompts)}; it must be a list of texts, or of lists of tokens")
    if len(prompts) == 0:
        return []
    are_texts = [isinstance(prompt, str) for prompt in prompts]
    if any(are_texts):
        tokenizer = tokenizer or trunk.tokenizer
        if not all(are_texts) or tokenizer is None:
            raise ValueError("prompts must be texts, with a tokenizer, or lists of tokens, not some of each")
        known = getattr(policy, "vocabulary", None)  # of the world that the policy was trained in
        if known not in (None, fingerprint(tokenizer)):
            raise ValueError("the tokenizer has another vocabulary than the one that the policy was trained with")
    tokens = [encode(tokenizer, one) if isinstance(one, str) else _checked_tokens(one) for one in prompts]
    count = _checked_count(tokens, trunk, max_new_tokens)
    if beams < 1:
        raise ValueError(f"beams is {beams}; it must be at least 1")
    if beams > 1 and (temperature not in (0, 1) or top_k or top_p != 1):
        raise ValueError("a beam search does not sample: leave temperature, top_k and top_p as they are")
    # Dropout off meanwhile, whatever happens.
    was_training = policy.training
    policy.eval()
    try:
        state = DecodingState(trunk, embed, tokens)
        if beams > 1:
            written = beam_search(state, count, beams, end_token, length_penalty)
        else:
            sampling = Sampling(temperature, top_k, top_p) if temperature else Sampling(top_k=1)
            written = sample(state, count, sampling, end_token, seed)
    finally:
        policy.train(was_training)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in written] if any(are_texts) else written


def token_model(policy: Any) -> tuple[Backbone, Embed]:
    """Return a policy's backbone and its embedding of tokens; ValueError if its actions are not the tokens it reads."""
    if isinstance(policy, Backbone):
        return policy, lambda tokens, positions, generated: policy.embed(tokens, positions)
    trunk = getattr(policy, "trunk", None)
    if not isinstance(trunk, Backbone):
        raise ValueError(f"{type(policy).__name__} reads no tokens: it is no Backbone and has none as its trunk")
    if policy.action_net is not None or policy.encoder is not None:
        raise ValueError("the policy reads more than tokens, or its actions are not tokens; generate from its trunk")

    def embed(tokens: Tensor, positions: Tensor, generated: bool) -> Tensor:
        return policy.embed_tokens({"tokens": tokens, "token_mask": torch.full_like(tokens, generated)}, positions)

    return trunk, embed


def _checked_tokens(prompt: Any) -> list[int]:
    """Return a prompt of tokens as a list; ValueError where it holds anything but integers."""
    try:
        return [operator.index(token) for token in prompt]
    except TypeError as error:
        raise ValueError(f"a prompt is {quote(prompt)}; it must be a text or a list of integer tokens") from error


def _checked_count(prompts: list[list[int]], trunk: Backbone, count: int | None) -> int:
    """Return how many tokens to generate; ValueError where prompts or their continuations do not fit."""
    longest = max(map(len, prompts))
    count = trunk.window - longest if count is None else count
    if count < 1 or longest + count > trunk.window:
        raise ValueError(
            f"{count} tokens after a prompt of {longest} do not fit: at least one must, into a window of {trunk.window}"
        )
    for prompt in prompts:
        if not prompt:
            raise ValueError("a prompt is empty; it must have a token to continue from")
        if min(prompt) < 0 or max(prompt) >= trunk.vocab_size:
            raise ValueError(f"tokens are {min(prompt)} to {max(prompt)}; they must be 0 to {trunk.vocab_size - 1}")
    return count


class DecodingState:
    """N rows that have been read, with their cache.

    Attributes:
        logits: (N, V), of each row's next token, float32 or wider.
        positions: (N,) int64, of each row's next token.
    """

    def __init__(self, trunk: Backbone, embed: Embed, prompts: list[list[int]]) -> None:
        self.trunk, self.embed = trunk, embed
        device = next(trunk.parameters()).device
        self.positions = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.max_position = max(map(len, prompts))  # exclusive
        tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)  # (P,)
        layout = Layout.of(self.positions, len(tokens), self.max_position)
        self.cache = trunk.new_cache(len(prompts))
        rows = torch.arange(len(prompts), device=device)
        features = trunk.prefill(embed(tokens, layout.positions, False), layout, self.cache, rows)  # (P, D)
        self.logits = self._logits(features[self.positions.cumsum(0) - 1])  # of each prompt's last token

    def append(self, tokens: Tensor) -> None:
        """Read one more token of every row, (N,) int64."""
        self.max_position += 1
        x = self.embed(tokens, self.positions, True)
        self.logits = self._logits(self.trunk.decode(x, self.positions, self.cache, self.max_position))
        self.positions = self.positions + 1

    def select(self, rows: Tensor) -> None:
        """Keep only `rows` (M,) int64, in this order; a row may be repeated."""
        self.cache = select_cache_rows(self.cache, rows, self.trunk.cache_row_dim)
        self.positions, self.logits = self.positions[rows], self.logits[rows]

    def _logits(self, features: Tensor) -> Tensor:
        logits = self.trunk.unembed(features)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def select_cache_rows(cache: Any, rows: Tensor, dim: int) -> Any:
    """Return `rows` (M,) int64 of a cache, along dimension `dim` of every tensor in its lists, tuples and dicts.

    Raises TypeError for any other container.
    """
    if isinstance(cache, Tensor):
        return cache.index_select(dim, rows)
    if isinstance(cache, dict):
        return {name: select_cache_rows(part, rows, dim) for name, part in cache.items()}
    if type(cache) in (list, tuple):
        return type(cache)(select_cache_rows(part, rows, dim) for part in cache)
    raise TypeError(
        f"a cache holds a {type(cache).__name__}; rows can be selected from tensors, lists, tuples and dicts"
    )


def sample(
    state: DecodingState, count: int, sampling: Sampling, end_token: int | None, seed: int | None
) -> list[list[int]]:
    """Return up to `count` tokens of each of N rows; `Sampling(top_k=1)` is greedy decoding."""
    generator = None
    if seed is not None:
        generator = torch.Generator(state.logits.device).manual_seed(seed)
    written: list[Tensor] = []
    ended = torch.zeros_like(state.positions, dtype=torch.bool)
    while True:
        logits = state.logits
        if sampling.top_k != 1:
            logits = adjusted_log_probs(logits, top_k_top_p_mask(logits, sampling), sampling)
            # Gumbel-max: argmax of log p + g with g = -log Exp(1) is distributed as p (Maddison et al., 2014).
            logits = logits - torch.empty_like(logits).exponential_(generator=generator).log()
        written.append(logits.argmax(dim=-1))
        ended |= written[-1] == end_token if end_token is not None else False
        if len(written) == count or bool(ended.all()):
            return [_truncated(row, end_token) for row in torch.stack(written, dim=1).tolist()]
        state.append(written[-1])


def _truncated(row: list[int], end_token: int | None) -> list[int]:
    """Return the tokens up to and including the first end token."""
    return row[: row.index(end_token) + 1] if end_token in row else row


def beam_search(
    state: DecodingState, count: int, beams: int, end_token: int | None, length_penalty: float
) -> list[list[int]]:
    """Return the best continuation of each of N rows found with K = `beams` hypotheses at every length.

    The best maximises (sum of log-probs) / length ** `length_penalty`, the end token included: 0 takes the most
    probable continuation, which favours short ones; 1 the mean; larger values favour long ones. A hypothesis counts as
    ended if its end token is among the K best extensions of its length. A row's search stops when none of its
    hypotheses can become better than its best ended one, so stopping early changes no result.
    """
    rows, vocab_size = state.logits.shape
    device = state.logits.device
    state.select(torch.arange(rows, device=device).repeat_interleave(beams))
    sums = state.logits.new_full((rows, beams), -torch.inf)  # (N, K), of log-probs
    sums[:, 0] = 0.0  # all hypotheses are still equal: only the first counts
    written = torch.zeros(rows, beams, count, dtype=torch.long, device=device)
    best = state.logits.new_full((rows,), -torch.inf)
    best_written, best_length = written[:, 0].clone(), torch.zeros(rows, dtype=torch.long, device=device)
    offset = torch.arange(rows, device=device)[:, None] * beams  # (N, 1), a row's first hypothesis among the N K

    for length in range(1, count + 1):
        total = sums[:, :, None] + state.logits.log_softmax(dim=-1).view(rows, beams, vocab_size)  # (N, K, V)
        # 2 K extensions: at most one of each hypothesis is an end token, so at least K of them continue.
        found, place = total.flatten(1).topk(min(2 * beams, beams * vocab_size))  # (N, 2 K)
        origin, token = place // vocab_size, place % vocab_size
        texts = written.gather(1, origin[:, :, None].expand(-1, -1, count))
        texts[:, :, length - 1] = token
        ends = torch.zeros_like(token, dtype=torch.bool) if end_token is None else token == end_token
        closed = ends.clone()
        closed[:, beams:] = False  # ended outside the K best
        if length == count:
            closed[:] = True
        score, which = (found.masked_fill(~closed, -torch.inf) / length**length_penalty).max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        best_written = torch.where(better[:, None], texts[torch.arange(rows, device=device), which], best_written)
        best_length = torch.where(better, length, best_length)

        sums, kept = found.masked_fill(ends, -torch.inf).topk(beams)
        # Log-probs only lower a sum, so its best future score is the present sum over the most favourable length.
        favourable = (count if length_penalty > 0 else length + 1) ** length_penalty
        if length == count or not bool((sums[:, 0] / favourable > best).any()):
            break
        written = texts.gather(1, kept[:, :, None].expand(-1, -1, count))
        state.select((offset + origin.gather(1, kept)).flatten())
        state.append(token.gather(1, kept).flatten())
    return [row[:n] for row, n in zip(best_written.tolist(), best_length.tolist(), strict=True)]
