"""The numbers that stand for ids in a compiled game, as `llm_envs.text.records.state` lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_envs.text.model.game import FIXED, PORTABLE, Game


@dataclass(frozen=True)
class Numbers:
    """Id -> number, dense in every game: `things` begins with that game's portables, whatever its record has space for.

    A name's place in level.name is its thing number, and len(things) + number for a room.
    """

    rooms: Mapping[str, int]
    fixed: Mapping[str, int]
    portables: Mapping[str, int]
    doors: Mapping[str, int]
    things: Mapping[str, int]  # portables, then fixed things, then doors
    holders: Mapping[str, int]  # rooms, then fixed things, then "I", the player's hands
    locks: Mapping[str, int]  # fixed things, then doors
    commands: Sequence[str]  # of the game, in the order of their numbers


def number(game: Game, commands: Sequence[str] = ()) -> Numbers:
    """Return the numbers of a game's ids; within a type they follow the order of game.things.

    Types stand in ASCII order, which decides the order of the first lists.
    """
    # Only what commands and rules can name gets a number: no slots, ingredients, P or RECIPE.
    rooms = [thing.id for thing in game.of_kind("r")]
    fixed = [thing.id for thing in game.of_kind(*sorted(FIXED))]
    portables = [thing.id for thing in game.of_kind(*sorted(PORTABLE))]
    doors = [thing.id for thing in game.of_kind("d")]
    return Numbers(
        rooms=_count(rooms),
        fixed=_count(fixed),
        portables=_count(portables),
        doors=_count(doors),
        things=_count([*portables, *fixed, *doors]),
        holders=_count([*rooms, *fixed, "I"]),
        locks=_count([*fixed, *doors]),
        commands=commands,
    )


def _count(ids: Sequence[str]) -> dict[str, int]:
    return {thing: i for i, thing in enumerate(ids)}
