"""Whether a policy and a world fit together: the same observation fields, the same actions, the same vocabulary."""

from typing import Any

from llm_envs.adapters.spaces import action_space
from llm_envs.vocabulary import fingerprint
from llm_envs.world import World


def check_fit(policy: Any, world: World, world_id: str) -> None:
    """Raise ValueError unless a policy can act in a world as it is configured.

    Args:
        policy: an SB3 policy, with its `observation_space` and `action_space`; `vocabulary` where it has learned one.
        world: the world.
        world_id: its id, for the message.
    """
    # Not `world.bounds`: those are of the state's fields, too.
    reads, provides = sorted(getattr(policy.observation_space, "spaces", ())), sorted(world.observation.names or ())
    if reads != provides or policy.action_space != action_space(world):
        raise ValueError(
            f"the policy reads {reads} and acts in {policy.action_space}; {world_id} in this configuration has "
            f"observations {provides} and actions {action_space(world)}"
        )
    check_vocabulary(getattr(policy, "vocabulary", None), world, world_id)


def check_vocabulary(known: str | None, world: World, world_id: str) -> str | None:
    """Return the fingerprint of a world's vocabulary, None where it has none.

    Args:
        known: the fingerprint of the vocabulary that a policy was trained with; None: any will do.
        world: the world.
        world_id: its id, for the message.

    Raises:
        ValueError: the world's vocabulary is not the known one: equal token ids would mean different words.
    """
    vocabulary = fingerprint(world.tokenizer)
    if known not in (None, vocabulary):
        raise ValueError(
            f"the policy was trained with another vocabulary than {world_id} has in this configuration, "
            "whose `pool` may differ too"
        )
    return vocabulary
