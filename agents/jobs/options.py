"""The options of a training run as typed dataclasses; agents.jobs.settings reads them from files and the command line.

Each algorithm and each backbone has its own dataclass, so an option that the chosen ones do not have is an error.
Algorithms' options have Stable-Baselines3's names. The comment behind an option is its help text.
"""

from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from agents.algorithms.kl_regularizer import KL
from agents.objectives import schedules
from agents.policies.sampling import Sampling
from agents.rollouts.replay import Replay
from llm_envs.cli.arguments import Pairs
from llm_envs.validation import check_range

DEFAULT_WORLD = "Tokens/Addition-v0"
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")  # options in the notation of agents.objectives.schedules


# ---------------------------------------------------------------------- algorithms


@dataclass(frozen=True)
class Replayed(Replay):
    """Experience replay, with 0 batches for none."""

    batches: int = 0  # replayed batches, each an optimizer step, after every fresh one; 0: no replay

    def __post_init__(self) -> None:
        if self.batches:
            super().__post_init__()


@dataclass(frozen=True)
class Learning:
    """Settings of every algorithm."""

    learning_rate: str = "linear:1e-3"  # 1e-3, linear:1e-3:end=1e-4:fraction=0.8, cosine:1e-3:warmup=0.05:end=1e-5
    gamma: float = 0.99  # discount
    kl: KL = field(default_factory=lambda: KL(coefficient=0.0))  # to the policy as it is after the warm start; 0: none

    def __post_init__(self) -> None:
        for name in ("n_steps", "batch_size", "n_epochs"):
            if hasattr(self, name):
                least = 0 if default_of(type(self), name) == 0 else 1  # n_steps of whole episodes: 0 has a meaning
                check_range(name, getattr(self, name), least, 2**40)
        for name in SCHEDULED:
            if getattr(self, name, None) is not None:
                schedules.parse(getattr(self, name))
        for name, on in (("kl", "coefficient"), ("replay", "batches")):
            term = getattr(self, name, None)
            if term is not None and not getattr(term, on) and term != default_of(type(self), name):
                raise ValueError(f"{name}.{on} is 0, which turns {name} off; its other options then have no effect")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the algorithm's class, schedules parsed."""
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "group_size"}
        for name in SCHEDULED:
            if found.get(name) is not None:
                found[name] = schedules.parse(found[name])
        found["kl"] = self.kl if self.kl.coefficient else None
        if "replay" in found:
            found["replay"] = Replay(**asdict(self.replay)) if self.replay.batches else None  # type: ignore[attr-defined]
        if found.get("vf_coef", 0.0) is None:
            del found["vf_coef"]
        return found


@dataclass(frozen=True)
class PPOOptions(Learning):
    """Proximal policy optimisation."""

    n_steps: int = 32  # of every row, between two updates
    batch_size: int = 1024  # states in a minibatch
    n_epochs: int = 4  # passes over a rollout
    gae_lambda: float = 0.95
    clip_range: str = "0.2"  # of the probability ratio; may be a schedule
    clip_range_high: float | None = None  # above 1, if other than below ("clip-higher")
    clip_range_vf: str | None = None  # of the change of a value; none if not given
    normalize_advantage: bool = True  # over a minibatch
    target_kl: float | None = None  # end an update's epochs at 1.5 times this KL, nats a token
    ent_coef: float = 0.0  # of the entropy bonus
    vf_coef: float = 0.5  # of the value loss
    max_grad_norm: float = 0.5


@dataclass(frozen=True)
class A2COptions(Learning):
    """Advantage actor-critic: one step on a whole rollout."""

    n_steps: int = 16  # of every row, between two updates
    gae_lambda: float = 1.0
    normalize_advantage: bool = False  # over the rollout
    use_rms_prop: bool = False  # RMSprop in place of Adam
    ent_coef: float = 0.0  # of the entropy bonus
    vf_coef: float = 0.5  # of the value loss
    max_grad_norm: float = 0.5
    replay: Replayed = field(default_factory=Replayed)


@dataclass(frozen=True)
class TRPOOptions(Learning):
    """Trust region policy optimisation: a natural gradient step under a bound on the KL."""

    kl: KL = field(default_factory=lambda: KL(coefficient=0.0, place="reward"))  # as the others'; "reward" alone
    n_steps: int = 32  # of every row, between two updates
    batch_size: int = 1024  # states in a minibatch of the critic
    gae_lambda: float = 0.95
    normalize_advantage: bool = True
    target_kl: float = 0.01  # bound on the mean KL of an update, nats a token
    n_critic_updates: int = 10  # passes of the critic, whose learning rate is `learning_rate`
    cg_max_steps: int = 15  # conjugate gradient iterations
    cg_damping: float = 0.1
    line_search_shrinking_factor: float = 0.8
    line_search_max_iter: int = 10
    sub_sampling_factor: int = 1  # every so many of the states
    fisher_share: float = 0.1  # of the texts, or states, in the Fisher matrix


@dataclass(frozen=True)
class REINFORCEOptions(Learning):
    """REINFORCE on whole episodes."""

    gamma: float = 1.0  # discount
    n_steps: int = 0  # most steps of an episode; 0: the world's limit
    baseline: Literal["none", "moving_average", "learned", "leave_one_out"] = "moving_average"
    normalize: Literal["none", "batch"] = "none"  # divide a rollout's advantages by their deviation
    group_size: int = 1  # episodes of one level, for leave_one_out
    ent_coef: float = 0.0  # of the entropy bonus
    vf_coef: float | None = None  # of the value loss; if not given 0.5 with the learned baseline, else 0
    max_grad_norm: float = 0.5
    use_rms_prop: bool = False  # RMSprop in place of Adam
    replay: Replayed = field(default_factory=Replayed)


@dataclass(frozen=True)
class RLOOOptions(Learning):
    """REINFORCE with a leave-one-out baseline."""

    gamma: float = 1.0  # discount
    n_steps: int = 0  # most steps of an episode; 0: the world's limit
    normalize: Literal["none", "batch"] = "none"  # divide a rollout's advantages by their deviation
    group_size: int = 8  # episodes of one level
    ent_coef: float = 0.0  # of the entropy bonus
    max_grad_norm: float = 0.5
    use_rms_prop: bool = False  # RMSprop in place of Adam


@dataclass(frozen=True)
class GRPOOptions(Learning):
    """Group relative policy optimisation."""

    gamma: float = 1.0  # discount
    n_steps: int = 0  # most steps of an episode; 0: the world's limit
    batch_size: int = 1024  # states in a minibatch
    n_epochs: int = 1  # passes over a rollout
    group_size: int = 8  # episodes of one level
    scale: bool = True  # divide by the group's deviation; False with weighting "episode" is Dr. GRPO
    weighting: Literal["sequence", "episode", "token"] = "sequence"  # of tokens
    clip_range: str = "0.2"  # of the probability ratio; may be a schedule
    clip_range_high: float | None = None  # above 1, if other than below ("clip-higher")
    target_kl: float | None = None  # end an update's epochs at 1.5 times this KL, nats a token
    ent_coef: float = 0.0  # of the entropy bonus
    max_grad_norm: float = 0.5


def default_of(options: type, name: str) -> Any:
    """Return the default of an option of a dataclass."""
    found = next(each for each in fields(options) if each.name == name)
    return found.default if found.default is not MISSING else found.default_factory()  # type: ignore[misc, operator]


ALGORITHM_OPTIONS: dict[str, type[Learning]] = {
    "ppo": PPOOptions,
    "a2c": A2COptions,
    "trpo": TRPOOptions,
    "reinforce": REINFORCEOptions,
    "rloo": RLOOOptions,
    "grpo": GRPOOptions,
}


# ---------------------------------------------------------------------- the run


@dataclass(frozen=True)
class WarmStart:
    """Imitation before RL; epochs 0 for none."""

    episodes: int = 40_000  # reference episodes, from the train split
    epochs: int = 0  # most passes over them
    batch_size: int = 256  # episodes in a minibatch
    learning_rate: float = 4e-3
    value_coef: float = 0.0  # of the values' squared error, from the discounted returns of the references
    stop_at: float = 0.45  # end when the metric on 500 validation levels reaches this
    validate_every: int = 25  # steps between two validations

    def __post_init__(self) -> None:
        check_range("warm.validate_every", self.validate_every, 1, 2**24)


@dataclass(frozen=True)
class PolicyOptions:
    """What of the policy is trained, and how it is computed; see agents.policies.policy.TransformerPolicy."""

    sampling: Sampling = field(default_factory=Sampling)
    shared_value: bool = False  # let the value loss train the trunk too
    low_rank: int = 0  # rank of LoRA adapters, in place of the trunk's own weights; 0 for none
    frozen: tuple[str, ...] = ()  # names of parameters, or prefixes of them, that are not trained
    weight_decay: float = 0.0  # of matrices, decoupled
    max_tokens_per_pass: int | None = None  # larger updates take several passes, to save memory
    autocast: Literal["bfloat16"] | None = None


Algorithm = TypeVar("Algorithm", bound=Learning)
Network = TypeVar("Network")


@dataclass(frozen=True, kw_only=True)
class Options(Generic[Algorithm, Network]):
    """A training run."""

    world: tyro.conf.Positional[str] = DEFAULT_WORLD  # one of `llm-envs list`
    algo: Literal["ppo", "a2c", "trpo", "reinforce", "rloo", "grpo"] = "ppo"  # the options below are of the one chosen
    backbone: Literal["transformer", "gru", "huggingface"] = "transformer"  # also of worlds without text
    config: Path | None = None  # YAML with options, over the world's preset; see agents.jobs.settings
    set: Pairs = ()  # the world's configuration, as name=value
    weights: Pairs = ()  # reward weights by signal, as name=value
    metric: str = ""  # the signal that is reported and that ends training; the world's first if not given
    steps: int = 1_000_000  # environment steps (tokens) in all
    num_envs: int = 256  # rows; of reinforce, rloo and grpo the episodes of an update
    stop_at: float | None = None  # end when the metric on the validation split reaches this
    out: Path = Path("runs/train")  # folder of the run
    resume: tyro.conf.FlagCreatePairsOff[bool] = False  # continue from the last checkpoint in `out`, with its options
    checkpoint_every: float = 20.0  # seconds between checkpoints; results do not depend on it
    validate_every: int = 10  # rollouts between evaluations on the validation split
    seed: int = 0
    device: str = "auto"  # "cpu", "cuda", or "auto" for CUDA where there is one
    threads: int = 0  # threads of torch; 0 for one with a small model, else torch's own choice; saved as chosen
    algorithm: Annotated[Algorithm, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    policy: Annotated[PolicyOptions, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = field(
        default_factory=PolicyOptions
    )
    network: Annotated[Network, tyro.conf.arg(name="backbone"), tyro.conf.FlagConversionOff]
    warm: WarmStart = field(default_factory=WarmStart)

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("num_envs", 1), ("validate_every", 1), ("threads", 0)):
            check_range(name, getattr(self, name), least, 2**62)
        check_range("checkpoint_every", self.checkpoint_every, 0.0, float("inf"))

    def policy_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments of `TransformerPolicy`."""
        return {**asdict(self.policy), "backbone": {"kind": self.backbone, **asdict(self.network)}}  # type: ignore[call-overload]
