"""Rewards learned from preferences: pairs of texts, a Bradley-Terry model of them, and that model as a reward term.

The model gives a text y a score r(y), and a pair the probability P(y_1 preferred to y_2) = sigmoid(r(y_1) - r(y_2))
(Bradley & Terry, 1952; Christiano et al., 2017, equation 1). The pairs of `agents.supervised.preferences` are labelled
by a world's own, gold reward, so that the errors of the learned, proxy reward can be measured (Gao et al., 2023).
B texts of T tokens, K pairs.

    pairs = preference_pairs("Tokens/Copy-v0", 1000, policy, weights={"match": 1.0})
    model = RewardModel.for_world("Tokens/Copy-v0", {"width": 32, "layers": 1})
    print(fit(model, pairs).accuracy)
    env = TensorVecEnv("Tokens/Copy-v0", 64, weights={"exact": 0.0}, rewards=[model.as_reward()])
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.backbones import make_backbone
from agents.objectives.optimize import optimizer_step, warmup_cosine
from agents.policies.packing import Sequences
from agents.supervised.preferences import TEXT, Pairs, check_has_text, preference_pairs
from llm_envs import make_batch
from llm_envs.rewards import Reward, Transition
from llm_envs.validation import check_range

__all__ = [
    "Fit",
    "Pairs",
    "RewardModel",
    "bradley_terry_loss",
    "fit",
    "normalise",
    "pair_scores",
    "preference_pairs",
]

# ---------------------------------------------------------------------- the model


def bradley_terry_loss(scores: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(r_1 - r_2), in nats, of scores (K, 2) whose first is the preferred text's.

    Stiennon et al. (2020), "Learning to summarize from human feedback", section 3.4.
    """
    return -F.logsigmoid(scores[:, 0] - scores[:, 1]).mean()


class RewardModel(nn.Module):
    """A text's score: a linear head on a backbone's features of its last token.

    The loss is invariant to a constant added to all scores, so the head has no bias; `fit` shifts and scales the scores
    to mean 0 and standard deviation 1 over the training texts.

    Args:
        vocab_size: number of tokens, V.
        window: longest text, T.
        backbone: as for `TransformerPolicy`: {"kind": "transformer", "width": 128, ...}.
    """

    def __init__(self, vocab_size: int, window: int, backbone: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.options = {"vocab_size": vocab_size, "window": window, "backbone": dict(backbone or {})}
        self.trunk = make_backbone(self.options["backbone"], vocab_size, window)
        self.head = nn.Linear(self.trunk.width, 1, bias=False)
        nn.init.normal_(self.head.weight, std=(self.trunk.width + 1) ** -0.5)  # as Stiennon et al., appendix B
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    @classmethod
    def for_world(cls, world_id: str, backbone: dict[str, Any] | None = None, **config: Any) -> "RewardModel":
        """Return an untrained model for the texts of a world in this configuration; ValueError if it has none."""
        world = make_batch(world_id, 1, **config).world
        check_has_text(world, world_id)
        return cls(int(world.bounds["tokens"][1]) + 1, world.observation["tokens"].shape[0], backbone)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Return normalised scores (B,), in the parameters' dtype.

        Args:
            obs: tokens (B, T) integers, padded on the right, and length (B,) or (B, 1); other fields are not read.

        Raises:
            ValueError: a field is missing, on another device, or does not fit the model's window or vocabulary.
        """
        return (self.raw(obs) - self.mean) / self.std

    def raw(self, obs: dict[str, Tensor]) -> Tensor:
        """Return the head's scores (B,), not normalised, as the loss takes them; raises as `forward`."""
        self._check(obs)
        texts, layout, last = Sequences.of({name: obs[name] for name in TEXT}).packed()
        x = self.trunk.embed(texts["tokens"].long(), layout.positions)
        return self.head(self.trunk.score(x, layout)[last]).squeeze(-1)

    def _check(self, obs: dict[str, Tensor]) -> None:
        if missing := [name for name in TEXT if name not in obs]:
            raise ValueError(
                f"the observations have {', '.join(obs)}; a reward model needs {' and '.join(missing)} too"
            )
        tokens, device = obs["tokens"], self.head.weight.device
        if tokens.device != device:
            raise ValueError(f"the texts are on {tokens.device}, the reward model on {device}; move it with .to()")
        if tokens.shape[1] > self.trunk.window:
            raise ValueError(
                f"the texts have {tokens.shape[1]} columns; the reward model's window is {self.trunk.window}"
            )
        # On a GPU this check would wait for the device; there the embedding itself fails.
        if device.type == "cpu" and tokens.numel() and int(tokens.max()) >= self.trunk.vocab_size:
            raise ValueError(
                f"a token is {int(tokens.max())}; the reward model's vocabulary is {self.trunk.vocab_size}"
            )

    # ------------------------------------------------------------------ use

    def as_reward(self, name: str = "proxy", weight: float = 1.0) -> Reward:
        """Return the model as a term of `rewards=[...]`: the score of the whole text, where an episode ends.

        The term refers to this model, not to a copy: training it further changes the reward.
        """
        # Without dropout: a reward must not depend on chance.
        self.eval()
        return Reward(self.score_transition, weight, name, at_end=True)

    @torch.no_grad()
    def score_transition(self, transition: Transition) -> Tensor:
        """Return the scores (M,) of the texts after a step, without gradients."""
        return self(transition.obs)

    def save(self, path: Path | str) -> None:
        """Write sizes and parameters to a file."""
        torch.save({"options": self.options, "dtype": self.head.weight.dtype, "state": self.state_dict()}, path)

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "RewardModel":
        """Return the model that `save` wrote, ready to score; nothing in the file is executed."""
        saved = torch.load(path, map_location=device, weights_only=True)
        model = cls(**saved["options"]).to(device, saved["dtype"])
        model.load_state_dict(saved["state"])
        return model.eval()


# ---------------------------------------------------------------------- learning


@dataclass(frozen=True)
class Fit:
    """The result of `fit`: accuracies as shares of pairs, and Bradley-Terry losses in nats."""

    accuracy: float  # held-out pairs whose preferred text has the higher score
    gold_accuracy: float  # held-out pairs whose text of greater return has it; differs with label noise
    held_out_loss: float
    train_accuracy: float
    train_loss: float
    pairs: int  # trained on
    held_out: int


def pair_scores(model: RewardModel, pairs: Pairs, batch_size: int = 1024) -> Tensor:
    """Return the normalised scores (K, 2) of pairs, on the model's device, without gradients."""
    device = model.head.weight.device
    chosen = torch.arange(len(pairs), device=pairs.gold.device).split(batch_size)
    with torch.no_grad():
        return torch.cat([model(_texts(pairs[part].to(device))).view(-1, 2) for part in chosen])


def _texts(pairs: Pairs) -> dict[str, Tensor]:
    """Return the 2 K texts, pair by pair: tokens (2 K, T), length (2 K,)."""
    return {"tokens": pairs.tokens.flatten(0, 1), "length": pairs.length.flatten()}


def fit(
    model: RewardModel,
    pairs: Pairs,
    held_out: float = 0.2,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.0,
    seed: int = 0,
) -> Fit:
    """Train a reward model on preferences, normalise it over the training texts, and measure it on held-out levels.

    Args:
        model: trained in place, by AdamW.
        pairs: from `preference_pairs`; of two levels or more.
        held_out: share of the levels that are not trained on.
        epochs: passes over the other pairs.
        batch_size: pairs in a minibatch.
        learning_rate: the highest; it rises over a tenth of the steps and falls to zero along half a cosine.
        weight_decay: AdamW's.
        seed: of what is held out and of the order of the pairs.

    Raises:
        ValueError: an argument out of range, pairs that do not fit the model, or scores that are all the same or not
            finite, which cannot be normalised.
    """
    check_range("epochs", epochs, 1, 2**31 - 1)
    check_range("batch_size", batch_size, 1, 2**31 - 1)
    # By level: texts of one level are alike, and would make held-out pairs look easy.
    train, test = pairs.split(held_out, seed)
    train = train.to(model.head.weight.device)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, (0.9, 0.99), weight_decay=weight_decay)
    generator, step = torch.Generator().manual_seed(seed), 0
    total = epochs * -(-len(train) // batch_size)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(train), generator=generator).to(train.gold.device).split(batch_size):
            loss = bradley_terry_loss(model.raw(_texts(train[chosen])).view(-1, 2))
            rate = learning_rate * warmup_cosine(step, total, warmup=max(total // 10, 1))
            optimizer_step(loss, [model.parameters()], optimizer, rate)
            step += 1
    model.eval()
    normalise(model, train)
    seen, unseen = (pair_scores(model, pairs) * model.std for pairs in (train, test))  # (K, 2), in the loss's units
    gold = (test.gold[:, 0] > test.gold[:, 1]).to(unseen.device)
    correct = unseen[:, 0] > unseen[:, 1]
    return Fit(
        accuracy=float(correct.float().mean()),
        gold_accuracy=float((correct == gold).float().mean()),
        held_out_loss=float(bradley_terry_loss(unseen)),
        train_accuracy=float((seen[:, 0] > seen[:, 1]).float().mean()),
        train_loss=float(bradley_terry_loss(seen)),
        pairs=len(train),
        held_out=len(test),
    )


def normalise(model: RewardModel, pairs: Pairs) -> None:
    """Shift and scale a model's scores to mean 0 and standard deviation 1 over the texts of pairs.

    ValueError, and no change, where all scores are the same or not finite.
    """
    scores = pair_scores(model, pairs) * model.std + model.mean
    mean, std = scores.mean(), scores.std(correction=0)
    if not 0.0 < float(std) < float("inf"):
        raise ValueError(
            f"the scores of {scores.numel()} texts have standard deviation {float(std)}; it must be positive"
        )
    model.mean.copy_(mean)
    model.std.copy_(std)
