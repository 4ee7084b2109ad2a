"""`OnPolicy`: what the algorithms share, composed of parts.

An algorithm is a constructor, `advantages(rollout)` and `loss(batch)`. Construction, saving, loading, callbacks,
logging, schedules and `learn()` are Stable-Baselines3's; `train()` is the loop over minibatches of `algorithms.update`.

    learn (SB3) -> collect_rollouts -> Collector -> advantages
                -> train -> update -> loss

With an environment that is not a bare `TensorVecEnv`, or a policy that is not a `TransformerPolicy`, rollouts are SB3's
own loop through NumPy; the update is the same. T steps, N rows, M states of a minibatch.
"""

import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.algorithms.kl_regularizer import KL, KLRegularizer
from agents.algorithms.update import update
from agents.distributed.group import Group
from agents.objectives.advantages import Advantages, generalized_advantage
from agents.objectives.losses import kl_loss, standardized
from agents.policies.compatibility import check_vocabulary
from agents.policies.packing import ActionEvaluation
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import Minibatch, SequenceRolloutBuffer
from agents.rollouts.callback_locals import step_locals
from agents.rollouts.collector import Collector, RolloutStep, bootstrapped_values
from agents.rollouts.replay import Replay, ReplayMemory
from llm_envs.adapters.sb3 import TensorVecEnv


class OnPolicy(OnPolicyAlgorithm):
    """First in the bases of an algorithm, before SB3's class of its name.

    Args:
        args: SB3's.
        kl: a KL term, see `agents.algorithms.kl_regularizer.KL`, or its arguments; None for no such term. The reference
            is the policy as it is at the first `learn()`, after any warm start; `set_reference` makes it another.
        kwargs: SB3's.
    """

    policy: TransformerPolicy  # type: ignore[assignment]  # or one of SB3's own
    normalize_advantage: bool
    whole_episodes = False  # see Collector
    # Set by `load` without __init__, or not at all in models that were saved before they were.
    kl: KL | None = None
    kl_control: Any = None
    replay: Replay | None = None
    vocabulary: str | None = None  # fingerprint of the vocabulary it was trained with
    reference: KLRegularizer | None = None
    collector: Collector | None = None
    memory: ReplayMemory | None = None
    group: Group | None = None  # of a data parallel run, see agents.algorithms.data_parallel

    def __init__(self, *args: Any, kl: KL | dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.kl, self.kl_control = KL.of(kl)
        with warnings.catch_warnings():
            # SB3 warns of a batch_size that does not divide the rollout; ours are cut at the ends of episodes anyway.
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            super().__init__(*args, **kwargs)

    # ------------------------------------------------------------------ an algorithm's own

    def advantages(self, rollout: SequenceRolloutBuffer) -> Advantages:
        """Return GAE(gamma, lambda) advantages of a rollout, and their TD(lambda) returns A + V."""
        assert self.collector is not None
        tensors = rollout.tensors
        advantages = generalized_advantage(
            rollout.total_rewards(),
            tensors["values"],
            self.collector.last_values(self.policy),
            tensors["dones"],
            self.gamma,
            self.gae_lambda,
        )
        return Advantages(advantages, advantages + tensors["values"])

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a minibatch, a scalar, and the terms to log."""
        raise NotImplementedError

    def weigh_replayed(self, advantages: Tensor, used: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the advantages and weights (T, n) of stored rows, given V-trace's; those not `used` do not count."""
        return advantages, None

    def exceeds_target_kl(self, terms: dict[str, Tensor]) -> bool:
        """Return whether the update is to stop before it takes the step of the minibatch with these terms."""
        return False

    # ------------------------------------------------------------------ construction

    def _setup_model(self) -> None:
        self.replay = Replay.of(self.replay)  # `load` sets it without __init__
        on_device = isinstance(self.env, TensorVecEnv) and issubclass(self.policy_class, TransformerPolicy)
        if self.env is not None and not on_device:
            if self.replay is not None:
                raise ValueError(f"replay needs a bare TensorVecEnv; the environment is {type(self.env).__name__}")
            if self.rollout_buffer_class is SequenceRolloutBuffer:  # a saved model on another environment
                self.rollout_buffer_class = None
            what = f"the environment is {type(self.env).__name__}, not a bare TensorVecEnv"
            if isinstance(self.env, TensorVecEnv):
                what = f"the policy is {self.policy_class.__name__}, not a TransformerPolicy"
            warnings.warn(f"rollouts go through NumPy: {what}", stacklevel=4)
        elif on_device:
            self.rollout_buffer_class = SequenceRolloutBuffer  # type: ignore[assignment]  # SB3 makes the buffer
        super()._setup_model()
        self._check_vocabulary()
        if on_device:
            assert isinstance(self.env, TensorVecEnv)
            self.collector = Collector(self.env, self.whole_episodes)
            if self.replay is not None:
                self.memory = ReplayMemory(self.replay, self._buffer, not self.whole_episodes, self.weigh_replayed)

    @property
    def _buffer(self) -> SequenceRolloutBuffer:
        assert isinstance(self.rollout_buffer, SequenceRolloutBuffer)
        return self.rollout_buffer

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """SB3's; ValueError where the environment's vocabulary is not the one that the model was trained with."""
        super().set_env(env, force_reset)
        self._check_vocabulary()
        if self.collector is not None and self.collector.env is not self.env:
            assert isinstance(self.env, TensorVecEnv)
            self.collector = Collector(self.env, self.whole_episodes)

    def _check_vocabulary(self) -> None:
        if isinstance(self.env, TensorVecEnv):
            batch = self.env.batch
            self.vocabulary = check_vocabulary(self.vocabulary, batch.world, batch.identity.world_id)
        self.policy.vocabulary = self.vocabulary

    def set_reference(self, policy: TransformerPolicy | None = None) -> None:
        """Make a frozen copy of `policy`, or of the algorithm's own, the reference; ValueError without a KL term."""
        if self.kl is None:
            raise ValueError("this algorithm has no KL term; give it kl={'coefficient': ...}")
        self.reference = KLRegularizer(self.kl, policy or self.policy, self.kl_control)
        self.reference.policy.to(self.device)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        if self.kl is not None and self.reference is None:
            self.set_reference()
        return super()._setup_learn(*args, **kwargs)

    # ------------------------------------------------------------------ a rollout

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every row; return False if the callback stops training."""
        collector = self.collector
        if collector is None:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        self.policy.set_training_mode(False)  # no dropout: log-probs must be those of the policy that acts
        if self.num_timesteps == 0:  # `learn` has just reset the environment
            collector.statistics.clear()

        def on_step(t: int, acted: RolloutStep, done: Tensor) -> bool:
            self.num_timesteps += env.num_envs * (1 if self.group is None else self.group.size)
            callback.update_locals(step_locals(env, rollout_buffer, n_rollout_steps, t, acted, done))
            return callback.on_step()

        callback.on_rollout_start()
        if not collector.collect(self.policy, rollout_buffer, n_rollout_steps, on_step):
            return False
        self._record_episodes(collector)
        self._finish(rollout_buffer)
        callback.on_rollout_end()
        return True

    def _finish(self, rollout: SequenceRolloutBuffer) -> None:
        """Compute what the update needs of a whole rollout."""
        tensors = rollout.tensors
        if self.reference is not None and self.reference.options.place == "reward":
            kl, used = self.reference.of_rollout(self.policy, rollout), ~tensors["unused"]
            tensors["kl_penalty"] = self.reference.control.value * kl
            self._log(self.reference.adapt(kl.sum(), used.sum(), (tensors["dones"] & used).sum(), self.group))
        if rollout.final_observations and not self.whole_episodes:
            tensors["bootstrap"] = bootstrapped_values(self.policy, rollout)
        found = self.advantages(rollout)
        tensors["advantages"].copy_(found.advantages)
        tensors["returns"].copy_(found.returns)
        if found.weights is not None:
            tensors["weights"] = found.weights
        if self.memory is not None and self.collector is not None:
            self.memory.store(self.collector.observations(rollout.device))

    def _record_episodes(self, collector: Collector) -> None:
        """Tell SB3 of the episodes that ended, and log their signals."""
        assert self.ep_info_buffer is not None
        elapsed = time.time() - self.start_time / 1e9
        for total, length in collector.statistics.ended(self._buffer, self.group):
            self.ep_info_buffer.append({"r": total, "l": length, "t": elapsed})
        self._log({f"signals/{name}": mean for name, mean in collector.signals.items()})

    # ------------------------------------------------------------------ an update

    def minibatches(self, batch_size: int | None) -> Iterator[Minibatch]:
        """Yield the rollout's minibatches of about `batch_size` states (None: all in one), then the replayed ones."""
        for batch in self.rollout_buffer.get(batch_size):
            if isinstance(batch, Minibatch):
                yield batch
            else:  # SB3's buffer has discrete actions as (M, 1) floats
                discrete = isinstance(self.action_space, spaces.Discrete)
                yield Minibatch(*batch)._replace(actions=batch.actions.long().flatten() if discrete else batch.actions)
        if self.memory is not None:
            yield from self.memory.minibatches(self.policy)

    def normalized_advantages(self, batch: Minibatch) -> Tensor:
        """Return the advantages (M,), standardised over the minibatch if so asked."""
        if not self.normalize_advantage or batch.size < 2:
            return batch.advantages
        return standardized(batch.advantages, batch.all_advantages)

    def evaluate(self, batch: Minibatch) -> ActionEvaluation:
        """Return what losses are made of; with a KL term in the loss `measured` is the KL of each state."""
        obs, actions = batch.observations, batch.actions
        reference = self.reference if self.kl is not None and self.kl.place == "loss" else None
        if isinstance(self.policy, TransformerPolicy):
            return self.policy.evaluate(obs, actions, None if reference is None else reference.divergence)
        values, log_prob, entropy = self.policy.evaluate_actions(obs, actions)
        kl = None
        if reference is not None:
            kl = reference.divergence(obs, actions, self.policy.get_distribution(obs), log_prob)
        return ActionEvaluation(values.flatten(), log_prob, -log_prob if entropy is None else entropy, kl)

    def with_kl(
        self, loss: Tensor, terms: dict[str, Tensor], now: ActionEvaluation, batch: Minibatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms with beta mean(KL) added, where there is such a term (GRPO, eq. 3)."""
        if now.measured is None:
            return loss, terms
        loss = loss + self.kl_control.value * kl_loss(now.measured, batch.weights, batch.total)
        # What adapts the coefficient is the KL of a token, whatever its weight.
        return loss, {**terms, "kl": kl_loss(now.measured, None, batch.total)}

    def _update(self, epochs: int, batch_size: int | None) -> dict[str, float]:
        """Take the gradient steps of an update, log their diagnostics, and return them."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        found, passes = update(self, epochs, batch_size)
        self._n_updates += passes
        kl = found.pop("kl", None)
        if kl is not None and self.reference is not None:
            ended = (self._buffer.tensors["dones"] & ~self._buffer.tensors["unused"]).sum()
            total = torch.tensor(kl, dtype=torch.float64)
            self._log(self.reference.adapt(total, torch.ones(()), ended.cpu(), self.group))
        self.log_update(found)
        return found

    def log_update(self, terms: Mapping[str, float]) -> None:
        """Log the terms of an update as `train/NAME`, and what is known of the critic and the policy after it."""
        self._log({f"train/{name}": value for name, value in terms.items()})
        buffer, parts = self.rollout_buffer, (self.rollout_buffer.values, self.rollout_buffer.returns)
        if isinstance(buffer, SequenceRolloutBuffer):
            parts = buffer.values_and_returns(self.group)
        self.logger.record("train/explained_variance", explained_variance(*(part.flatten() for part in parts)))
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())
        if self.memory is not None and self.memory.importance is not None:
            self.logger.record("train/replay_importance", self.memory.importance.item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _log(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.logger.record(name, value)

    # ------------------------------------------------------------------ saving

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        # The reference is saved as weights, next to the policy's.
        state_dicts, tensors = super()._get_torch_save_params()
        return ([*state_dicts, "reference.policy"] if self.reference is not None else state_dicts), tensors

    def _excluded_save_params(self) -> list[str]:
        ours = ["_last_obs", "_last_episode_starts", "collector", "memory", "reference", "group"]
        return [*super()._excluded_save_params(), *ours]

    @classmethod
    def load(cls, path: Any, *args: Any, **kwargs: Any) -> Any:
        """SB3's. What is given holds, in place of what was saved, for every argument of the constructor."""
        if "kl" in kwargs:  # with the coefficient of its own, and not the one that training has arrived at
            kwargs["kl"], kwargs["kl_control"] = KL.of(kwargs["kl"])
        return super().load(path, *args, **kwargs)

    def set_parameters(self, load_path_or_dict: Any, *args: Any, **kwargs: Any) -> None:
        """SB3's, with the reference made first where the saved model has one, and left out without a KL term."""
        if isinstance(load_path_or_dict, dict) and "reference.policy" in load_path_or_dict:
            if self.kl is None:
                load_path_or_dict = {k: v for k, v in load_path_or_dict.items() if k != "reference.policy"}
            else:
                self.set_reference()
        super().set_parameters(load_path_or_dict, *args, **kwargs)
