"""The transformer with learned positions, as an architecture of `transformers`.

With rotary positions our transformer is exactly what `transformers` calls Arcee. For learned positions there is no such
architecture; importing this module registers one: Arcee without rotation, on embeddings of tokens plus positions.
Whoever opens a folder by `AutoModelForCausalLM` must have imported it first.
"""

from typing import Any

import torch
from torch import Tensor, nn

try:
    from transformers import ArceeConfig, ArceeForCausalLM, ArceeModel, AutoConfig, AutoModelForCausalLM
except ImportError as error:
    raise ImportError("Hugging Face models need transformers; install it with: pip install 'llm-envs[hf]'") from error


class LearnedPositionsConfig(ArceeConfig):
    """Sizes, under Arcee's names; `max_position_embeddings` is the number of learned positions."""

    model_type = "llm_envs_transformer"


class NoRotation(nn.Module):
    """Takes the place of the rotary embedding: all angles are 0."""

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines, all 1, and sines, all 0, (1, 1, 1) each, which broadcast over (N, L, E)."""
        return x.new_ones(1, 1, 1), x.new_zeros(1, 1, 1)


class LearnedPositionsModel(ArceeModel):
    """Arcee's layers on tokens' plus positions' embeddings."""

    config_class = LearnedPositionsConfig

    def __init__(self, config: LearnedPositionsConfig) -> None:
        super().__init__(config)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.rotary_emb = NoRotation()  # type: ignore[assignment]
        self.post_init()

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the last hidden states (N, L, D), as the base models of `transformers` do."""
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            cached = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = (torch.arange(x.shape[1], device=x.device) + cached)[None]  # (1, L)
        return super().forward(
            inputs_embeds=x + self.embed_positions(position_ids),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )


class LearnedPositionsForCausalLM(ArceeForCausalLM):
    """The base model and its output layer, tied to the token embedding."""

    config_class = LearnedPositionsConfig

    def __init__(self, config: LearnedPositionsConfig) -> None:
        super().__init__(config)
        self.model = LearnedPositionsModel(config)
        self.post_init()


AutoConfig.register(LearnedPositionsConfig.model_type, LearnedPositionsConfig, exist_ok=True)
AutoModelForCausalLM.register(LearnedPositionsConfig, LearnedPositionsForCausalLM, exist_ok=True)
