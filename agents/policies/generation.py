"""Write on from prompts with a trained network: greedy, sampling or beam search, one token of work a token.

All prompts are read in one pass into a key/value cache (or into hidden states); then every row reads its newest token,
at its own position. `generate` is the whole of it; the rest are its parts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from agents.backbones import Backbone, Layout
from agents.policies.sampling import Sampling, shaped, support

Embed = Callable[[Tensor, Tensor, bool], Tensor]  # tokens, positions (P,), whether the model wrote them -> (P, D)


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
    """Return what `model` writes after each prompt, of the prompts' kind: texts, or lists of tokens.

    Args:
        model: a `Backbone`, an SB3 policy with one as its `trunk`, or an SB3 model with such a policy. Dropout is off.
        prompts: texts, or lists of at least one token each; of different lengths if you like.
        max_new_tokens: most tokens to write; None: as many as fit into the window after the longest prompt.
        temperature: divides the logits; 0 is greedy decoding.
        top_k: sample from the k most probable tokens only (Fan et al., 2018); 0: from all.
        top_p: sample from the fewest tokens whose probabilities reach p (Holtzman et al., 2020).
        beams: width of a beam search, which is deterministic; 1: none. See `beam_search`.
        end_token: a continuation ends with it, and includes it; None: all are `max_new_tokens` long.
        seed: of sampling; None: go on with torch's default generator.
        tokenizer: of `tokenizers` or `transformers`, for prompts that are texts; None: the backbone's own, if it has
            one. Special tokens are left out of the texts that are returned.
        length_penalty: of the beam search.

    Raises:
        ValueError: an argument out of range, an empty prompt, a text longer than the window, or a policy whose actions
            are not the tokens it reads.
    """
    policy = getattr(model, "policy", model)
    trunk, embed = speaker(policy)
    if len(prompts) == 0:
        return []
    spoken = [isinstance(prompt, str) for prompt in prompts]
    if any(spoken):
        tokenizer = tokenizer or trunk.tokenizer
        if not all(spoken) or tokenizer is None:
            raise ValueError("prompts must be texts, with a tokenizer, or lists of tokens, not some of each")
    tokens = [[int(t) for t in (_encode(tokenizer, prompt) if any(spoken) else prompt)] for prompt in prompts]
    count = _checked_count(tokens, trunk, max_new_tokens)
    if beams < 1:
        raise ValueError(f"beams is {beams}; it must be at least 1")
    if beams > 1 and (temperature not in (0, 1) or top_k or top_p != 1):
        raise ValueError("a beam search does not sample: leave temperature, top_k and top_p as they are")
    was_training = policy.training
    policy.eval()
    try:
        text = Text(trunk, embed, tokens)
        if beams > 1:
            written = beam_search(text, count, beams, end_token, length_penalty)
        else:
            sampling = Sampling(temperature, top_k, top_p) if temperature else Sampling(top_k=1)
            written = sample(text, count, sampling, end_token, seed)
    finally:
        policy.train(was_training)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in written] if any(spoken) else written


def speaker(policy: Any) -> tuple[Backbone, Embed]:
    """Return a policy's backbone, and how it embeds tokens that it has read or written; ValueError if it has none."""
    if isinstance(policy, Backbone):
        return policy, lambda tokens, positions, own: policy.embed(tokens, positions)
    trunk = getattr(policy, "trunk", None)
    if not isinstance(trunk, Backbone):
        raise ValueError(f"{type(policy).__name__} reads no tokens: it is no Backbone and has none as its trunk")
    if policy.action_net is not None or policy.encoder is not None:
        raise ValueError("the policy reads more than tokens, or its actions are not tokens; generate from its trunk")

    def embed(tokens: Tensor, positions: Tensor, own: bool) -> Tensor:
        return policy.embedded({"tokens": tokens, "token_mask": torch.full_like(tokens, own)}, positions)

    return trunk, embed


def _encode(tokenizer: Any, prompt: Any) -> list[int]:
    found = tokenizer.encode(prompt)
    return found.ids if hasattr(found, "ids") else found


def _checked_count(prompts: list[list[int]], trunk: Backbone, count: int | None) -> int:
    """Return how many tokens to write; ValueError where prompts or their continuations do not fit."""
    longest = max(map(len, prompts))
    count = trunk.window - longest if count is None else count
    if count < 1 or longest + count > trunk.window:
        raise ValueError(
            f"{count} tokens after a prompt of {longest} do not fit: at least one must, into a window of {trunk.window}"
        )
    for prompt in prompts:
        if not prompt:
            raise ValueError("a prompt is empty; there must be a token to go on from")
        if min(prompt) < 0 or max(prompt) >= trunk.vocab_size:
            raise ValueError(f"tokens are {min(prompt)} to {max(prompt)}; they must be 0 to {trunk.vocab_size - 1}")
    return count


class Text:
    """N rows that have been read, and what is needed to read on.

    Attributes:
        logits: (N, V), of each row's next token, float32 or wider.
    """

    def __init__(self, trunk: Backbone, embed: Embed, prompts: list[list[int]]) -> None:
        self.trunk, self.embed = trunk, embed
        device = next(trunk.parameters()).device
        self.positions = torch.tensor([len(prompt) for prompt in prompts], device=device)  # (N,), of the next token
        self.bound = max(map(len, prompts))
        tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        layout = Layout.of(self.positions, len(tokens), self.bound)
        self.cache = trunk.new_cache(len(prompts))
        into = torch.arange(len(prompts), device=device)
        features = trunk.prefill(embed(tokens, layout.positions, False), layout, self.cache, into)
        self.logits = self._logits(features[self.positions.cumsum(0) - 1])

    def read(self, tokens: Tensor) -> None:
        """Read one more token of every row, (N,)."""
        self.bound += 1
        x = self.embed(tokens, self.positions, True)
        self.logits = self._logits(self.trunk.decode(x, self.positions, self.cache, self.bound))
        self.positions = self.positions + 1

    def select(self, rows: Tensor) -> None:
        """Go on with `rows` (M,) int64 of the rows so far, in this order."""
        self.cache = select_rows(self.cache, rows, self.trunk.cache_row_dim)
        self.positions, self.logits = self.positions[rows], self.logits[rows]

    def _logits(self, features: Tensor) -> Tensor:
        logits = self.trunk.unembed(features)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def select_rows(cache: Any, rows: Tensor, dim: int) -> Any:
    """Return `rows` (M,) int64 of a cache: of every tensor in its lists, tuples and dicts, along dimension `dim`."""
    if isinstance(cache, Tensor):
        return cache.index_select(dim, rows)
    if isinstance(cache, dict):
        return {name: select_rows(part, rows, dim) for name, part in cache.items()}
    if type(cache) in (list, tuple):
        return type(cache)(select_rows(part, rows, dim) for part in cache)
    raise TypeError(
        f"a cache holds a {type(cache).__name__}; its rows can be taken of tensors, lists, tuples and dicts"
    )


def sample(text: Text, count: int, sampling: Sampling, end_token: int | None, seed: int | None) -> list[list[int]]:
    """Draw up to `count` tokens a row; `Sampling(top_k=1)` is greedy decoding."""
    generator = None
    if seed is not None:
        generator = torch.Generator(text.logits.device).manual_seed(seed)
    written: list[Tensor] = []
    ended = torch.zeros_like(text.positions, dtype=torch.bool)
    while True:
        logits = text.logits
        if sampling.top_k != 1:
            logits = shaped(logits, support(logits, sampling), sampling)
            # Gumbel's trick: the largest of log p + g is distributed as p (Maddison et al., 2014).
            logits = logits - torch.empty_like(logits).exponential_(generator=generator).log()
        written.append(logits.argmax(dim=-1))
        ended |= written[-1] == end_token if end_token is not None else False
        if len(written) == count or bool(ended.all()):
            return [_until(row, end_token) for row in torch.stack(written, dim=1).tolist()]
        text.read(written[-1])


def _until(row: list[int], end_token: int | None) -> list[int]:
    return row[: row.index(end_token) + 1] if end_token in row else row


def beam_search(text: Text, count: int, beams: int, end_token: int | None, length_penalty: float) -> list[list[int]]:
    """Return, of each of N rows, the best continuation found with K = `beams` candidates at every length.

    Best is what has the largest sum of log-probs / length ** `length_penalty`, the end token included: 0 takes the most
    probable continuation, which favours short ones; 1, the mean, does not; more favours long ones. A continuation
    counts as ended if its end token brings it among the K best of its length. A row's search ends when none of its
    candidates can become better than the best that has ended, so none is missed by stopping early.
    """
    rows, vocab_size = text.logits.shape
    device = text.logits.device
    text.select(torch.arange(rows, device=device).repeat_interleave(beams))
    sums = text.logits.new_full((rows, beams), -torch.inf)  # of log-probs; at first all candidates are the same
    sums[:, 0] = 0.0
    written = torch.zeros(rows, beams, count, dtype=torch.long, device=device)
    best = text.logits.new_full((rows,), -torch.inf)
    best_written, best_length = written[:, 0].clone(), torch.zeros(rows, dtype=torch.long, device=device)
    first = torch.arange(rows, device=device)[:, None] * beams  # of each row's beams

    for length in range(1, count + 1):
        total = sums[:, :, None] + text.logits.log_softmax(dim=-1).view(rows, beams, vocab_size)
        # Twice as many as beams: each beam ends in one way at most, so K of them go on.
        found, place = total.flatten(1).topk(min(2 * beams, beams * vocab_size))
        origin, token = place // vocab_size, place % vocab_size
        texts = written.gather(1, origin[:, :, None].expand(-1, -1, count))
        texts[:, :, length - 1] = token
        ends = torch.zeros_like(token, dtype=torch.bool) if end_token is None else token == end_token
        closed = ends.clone()
        closed[:, beams:] = False
        if length == count:
            closed[:] = True
        score, which = (found.masked_fill(~closed, -torch.inf) / length**length_penalty).max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        best_written = torch.where(better[:, None], texts[torch.arange(rows, device=device), which], best_written)
        best_length = torch.where(better, length, best_length)

        sums, going = found.masked_fill(ends, -torch.inf).topk(beams)
        # Sums only fall, so a candidate's best score is today's sum over the most favourable length.
        favourable = (count if length_penalty > 0 else length + 1) ** length_penalty
        if length == count or not bool((sums[:, 0] / favourable > best).any()):
            break
        written = texts.gather(1, going[:, :, None].expand(-1, -1, count))
        text.select((first + origin.gather(1, going)).flatten())
        text.read(token.gather(1, going).flatten())
    return [row[:n] for row, n in zip(best_written.tolist(), best_length.tolist(), strict=True)]
