"""`TransformerPolicy`: a transformer actor-critic for Stable-Baselines3, over token observations or plain fields.

It overrides what SB3's algorithms call rather than SB3's features extractor, because the mask of legal actions must
reach the distribution, and because SB3 turns integer observations into floats on the way to an extractor.

B states, T window, A actions, V vocabulary, D width, P packed tokens, M states of a `Sequences`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from agents.backbones import Backbone, configure
from agents.distributed.group import Group
from agents.objectives.optimize import ADAM
from agents.policies.decoding import Reader
from agents.policies.encoders import FieldEncoder
from agents.policies.lora import add_low_rank, freeze, weight_decay_groups
from agents.policies.packing import ActionEvaluation, Measure, Observations, Sequences, plain_fields
from agents.policies.sampling import ILLEGAL, Sampling, adjusted_log_probs, categorical, sample, top_k_top_p_mask
from llm_envs.validation import check_choice

TOKEN_FIELDS = ("tokens", "length", "token_mask", "action_mask")  # not for the encoder


class TransformerPolicy(ActorCriticPolicy):
    """Actor and critic on one trunk: a transformer, or another `Backbone`.

    With `tokens` (B, T) and `length` (B,) in the observation, the features are the trunk's at the last token; where the
    actions are the tokens, the actor's head is the trunk's own output layer. All other fields go through a
    `FieldEncoder`, whose features are added. Without tokens there is no trunk, only the encoder. `action_mask` (B, A)
    masks logits; `token_mask` (B, T) is embedded, so that the policy's own tokens differ from the world's.

    Raises TypeError for a field or an action space of another kind, ValueError for an option out of range.

    Args:
        observation_space: a Dict of Boxes, or one Box.
        action_space: Discrete, or a Box (a diagonal Gaussian).
        lr_schedule: SB3's.
        backbone: {"kind": "transformer", "width": 128, "layers": 4, "heads": 4, "positions": "rotary"}; the other
            kinds are in `agents.backbones`.
        shared_value: let the value loss train the trunk too. Otherwise the critic reads detached features: a fresh
            critic's gradients undo what a warm-started actor has learned.
        sampling: `agents.policies.sampling.Sampling`'s arguments: temperature, top_k, top_p, epsilon.
        max_tokens_per_pass: most tokens in one pass of the trunk; larger updates take several, to save memory.
        autocast: None, or "bfloat16": dtype of the trunk's matrix products.
        frozen: names of parameters, or prefixes of them, that are not trained, such as "trunk.embedding".
        low_rank: rank of LoRA adapters on the trunk's linear layers, whose own weights are then frozen; 0 for none.
        weight_decay: decoupled weight decay of the matrices; AdamW takes Adam's place.
        kwargs: SB3's ActorCriticPolicy's; those about extractors and `net_arch` have no effect.
    """

    vocabulary: str | None = None  # fingerprint of the words that it has learned

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        backbone: dict[str, Any] | None = None,
        shared_value: bool = False,
        sampling: dict[str, Any] | None = None,
        max_tokens_per_pass: int | None = None,
        autocast: str | None = None,
        frozen: tuple[str, ...] = (),
        low_rank: int = 0,
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_choice("autocast", autocast, (None, "bfloat16"))
        # Saved with a model: what the constructor needs to make the policy again.
        self.options: dict[str, Any] = {
            "backbone": dict(backbone or {}),
            "shared_value": shared_value,
            "sampling": dict(sampling or {}),
            "max_tokens_per_pass": max_tokens_per_pass,
            "autocast": autocast,
            "frozen": tuple(frozen),
            "low_rank": low_rank,
            "weight_decay": weight_decay,
        }
        self.shared_value, self.max_tokens_per_pass = shared_value, max_tokens_per_pass
        self.sampling = Sampling(**self.options["sampling"])
        self.shares_prefixes = False  # read common prefixes once; pays for groups of answers to one prompt
        if weight_decay:
            kwargs.setdefault("optimizer_class", torch.optim.AdamW)
        kwargs["optimizer_kwargs"] = kwargs.get("optimizer_kwargs") or dict(ADAM)
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.options}

    def _build(self, lr_schedule: Schedule) -> None:
        space = self.observation_space
        fields = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        self.reads_tokens = "tokens" in fields and "length" in fields
        others = {name: box for name, box in fields.items() if not (self.reads_tokens and name in TOKEN_FIELDS)}
        # A mask is applied to the logits, with or without tokens; it is no feature.
        others.pop("action_mask", None)
        network, config = configure(self.options["backbone"])
        self.trunk: Backbone | None = None
        self.mask_embedding = None
        if self.reads_tokens:
            tokens = fields["tokens"]
            assert isinstance(tokens, spaces.Box)
            self.trunk = network(int(tokens.high.max()) + 1, tokens.shape[0], config)
        width = self.trunk.width if self.trunk is not None else config.width
        if self.reads_tokens and "token_mask" in fields:
            self.mask_embedding = nn.Embedding(2, width)
            nn.init.normal_(self.mask_embedding.weight, std=0.02)
        self.encoder = FieldEncoder(others, width) if others else None
        layers = nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1)
        self.value_net = nn.Sequential(*layers)  # type: ignore[assignment]
        self._build_actor(width)
        # Small heads: the first values, and the first logits of a separate actor, are nearly 0.
        for head in (*layers, self.action_net):
            if isinstance(head, nn.Linear):
                nn.init.normal_(head.weight, std=0.02)
                nn.init.zeros_(head.bias)
        # Adapters before the optimizer is made, so that it gets their parameters and not the frozen ones.
        if self.options["low_rank"] and self.trunk is not None:
            add_low_rank(self.trunk, self.options["low_rank"])
        freeze(self, self.options["frozen"])
        groups = weight_decay_groups(self, self.options["weight_decay"])
        self.optimizer = self.optimizer_class(groups, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore

    def _build_actor(self, width: int) -> None:
        """Make `action_net`; None where the actions are the tokens and the trunk's output layer is the head."""
        self.action_net: nn.Linear | None = None  # type: ignore[assignment]
        if isinstance(self.action_space, spaces.Box):
            size = int(torch.Size(self.action_space.shape).numel())
            self.action_net = nn.Linear(width, size)
            self.log_std = nn.Parameter(torch.full((size,), float(self.log_std_init)))
        elif not isinstance(self.action_space, spaces.Discrete):
            raise TypeError(f"the action space is {self.action_space}; TransformerPolicy has Discrete and Box")
        elif self.trunk is None or self.trunk.vocab_size != self.action_space.n:
            self.action_net = nn.Linear(width, int(self.action_space.n))

    # ------------------------------------------------------------------ observation -> features -> heads

    def features(self, obs: Observations) -> Tensor:
        """Return the features (B, D) that both heads read; of the M states of a `Sequences` (M, D)."""
        if self.trunk is None:
            assert self.encoder is not None
            return self.encoder(obs if isinstance(obs, dict) else {"": obs})
        states = obs if isinstance(obs, Sequences) else Sequences.of(dict(obs))
        return self._in_chunks(lambda chunk: (self._features(chunk),), states)[0]

    def _features(self, states: Sequences) -> Tensor:
        """Return features (M, D) from one causal pass over the states' texts."""
        assert self.trunk is not None
        texts, layout, state_index = states.packed(self.shares_prefixes)  # (P,) each, layout, (M,)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options["autocast"] is not None):
            latent = self.trunk.score(self.embed_tokens(texts, layout.positions), layout)
        return self.add_fields(latent[state_index], states.fields)  # (P, D) -> (M, D)

    def _in_chunks(self, function: Callable[..., tuple], states: Observations, *rest: Tensor) -> tuple[Tensor, ...]:
        """Return function(states, *rest), in several passes if the texts exceed `max_tokens_per_pass`.

        Activations of each pass are recomputed in the backward pass, so that memory holds those of one; the numbers
        are the same.
        """
        limit = self.max_tokens_per_pass
        if limit is None or not isinstance(states, Sequences) or int(states.lengths.sum()) <= limit:
            return function(states, *rest)
        found, indices = [], []
        for chunk, index in states.chunks(limit):
            chosen = [value[index] for value in rest]
            found.append(checkpoint(function, chunk, *chosen, use_reentrant=False))
            indices.append(index)
        back = torch.argsort(torch.cat(indices))  # chunks group states by text: restore the callers' order
        return tuple(torch.cat(outputs)[back] for outputs in zip(*found, strict=True))

    def embed_tokens(self, texts: dict[str, Tensor], positions: Tensor) -> Tensor:
        """Return the trunk's input (P, D) of packed tokens (P,) and, where the world has one, their token_mask (P,)."""
        assert self.trunk is not None
        x = self.trunk.embed(texts["tokens"].long(), positions)
        return x if self.mask_embedding is None else x + self.mask_embedding(texts["token_mask"].long())

    def add_fields(self, latent: Tensor, fields: dict[str, Tensor]) -> Tensor:
        """Return the trunk's features (B, D) plus those of the other fields (B, ...), in the heads' dtype."""
        latent = latent.to(next(self.value_net.parameters()).dtype)
        return latent if self.encoder is None else latent + self.encoder(fields)

    def value(self, features: Tensor) -> Tensor:
        """Return values (B, 1) of features (B, D); their loss trains the trunk only with `shared_value`."""
        return self.value_net(features if self.shared_value else features.detach())

    def logits(self, features: Tensor, obs: Observations) -> Tensor:
        """Return logits (B, A) of discrete actions at features (B, D), illegal ones at -1e8."""
        head = self.action_net or self.trunk
        assert head is not None
        logits = head.unembed(features) if isinstance(head, Backbone) else head(features)
        mask = plain_fields(obs).get("action_mask")
        return logits if mask is None else logits.masked_fill(mask == 0, ILLEGAL)

    def top_k_top_p_mask(self, features: Tensor, obs: Observations) -> Tensor:
        """Return the actions (B, A) bool that top-k and top-p keep; stored as `support` with the observations."""
        return top_k_top_p_mask(self.logits(features, obs), self.sampling)

    def distribution(self, features: Tensor, obs: Observations) -> Distribution:
        """Return the distribution sampled from, over the actions of B states, at features (B, D).

        A `support` (B, A) bool among the observations is the `top_k_top_p_mask` at the time of sampling.
        """
        if isinstance(self.action_space, spaces.Box):
            assert self.action_net is not None
            gaussian = DiagGaussianDistribution(self.log_std.numel())
            return gaussian.proba_distribution(self.action_net(features), self.log_std)
        logits = self.logits(features, obs)
        if self.sampling != Sampling():
            kept = plain_fields(obs).get("support")
            if kept is None and self.sampling.restricts:
                kept = top_k_top_p_mask(logits, self.sampling)
            logits = adjusted_log_probs(logits, kept, self.sampling)
        return categorical(logits)

    # ------------------------------------------------------------------ what SB3's algorithms call

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Return actions (B, ...), values (B, 1) and log-probabilities (B,)."""
        return self.act(self.features(obs), obs, deterministic)

    def act(
        self, features: Tensor, obs: Observations, deterministic: bool = False, group: Group | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions (B, ...), values (B, 1) and log-probabilities (B,) at features (B, D) of observations.

        With a `group`, this rank's actions are those that a single process would draw for its rows.
        """
        distribution = self.distribution(features, obs)
        actions = sample(distribution, deterministic, group)
        log_probs = distribution.log_prob(actions)
        return actions.reshape(-1, *(self.action_space.shape or ())), self.value(features), log_probs

    def evaluate_actions(self, obs: Observations, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values (B, 1), log-probabilities (B,) and entropies (B,) of `actions` (B, ...)."""
        values, log_prob, entropy, _ = self.evaluate(obs, actions)
        return values[:, None], log_prob, entropy

    def evaluate(self, obs: Observations, actions: Tensor, measure: Measure | None = None) -> ActionEvaluation:
        """Return what losses are made of, for `actions` (M, ...) taken in M states; `measure`: see `Measure`."""

        def run(states: Observations, taken: Tensor) -> tuple[Tensor, ...]:
            features = self._features(states) if isinstance(states, Sequences) else self.features(states)
            distribution = self.distribution(features, states)
            log_prob, entropy = distribution.log_prob(taken), distribution.entropy()
            assert entropy is not None
            measured = () if measure is None else (measure(states, taken, distribution, log_prob),)
            return self.value(features).flatten(), log_prob, entropy, *measured

        return ActionEvaluation(*self._in_chunks(run, obs, actions))

    def get_distribution(self, obs: Observations) -> Distribution:
        """Return the distribution sampled from, over the actions of B states."""
        return self.distribution(self.features(obs), obs)

    def predict_values(self, obs: Observations) -> Tensor:
        """Return values (B, 1)."""
        return self.value(self.features(obs))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return sample(self.get_distribution(observation), deterministic)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Return actions and the state to pass with the next observations: a `Reader` with each row's cache.

        `episode_start` is not needed: a row whose text does not continue what was read is read from its start. A state
        is out of date once the parameters have changed.
        """
        if self.trunk is None:
            return super().predict(observation, state, episode_start, deterministic)
        self.set_training_mode(False)
        tensors, vectorized = self.obs_to_tensor(observation)
        assert isinstance(tensors, dict)  # it has tokens
        # A state of another batch size or another policy is of no use: start with an empty cache.
        rows = len(tensors["tokens"])
        reader = state if isinstance(state, Reader) and state.rows == rows and state.policy is self else None
        reader = reader or Reader(self, rows)
        with torch.no_grad():
            actions = self.act(reader(tensors), tensors, deterministic)[0].cpu().numpy()
        if isinstance(self.action_space, spaces.Box):
            actions = np.clip(actions, self.action_space.low, self.action_space.high)
        return (actions if vectorized else actions[0]), reader
