"""The records of a compiled game: what a state and a level hold, and how large they are.

Numbers in place of ids, in every record:

    portable   0 .. portables - 1, in the order of lists (by type name, then as the game gives them)
    fixed      0 .. fixed - 1: containers, ovens, supporters, stoves, toasters
    lock       what can be open or closed: fixed things, then doors, so fixed + d for door d
    thing      what a command can name: portables, then fixed things, then doors
    holder     where a portable can be: rooms, then fixed things, then the player's hands
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_envs.text.model.limits import LARGEST
from llm_envs.text.records import codes
from llm_envs.validation import printable
from llm_envs.world import record, state_record


@dataclass(frozen=True)
class Size:
    """How much a level has space for; every field is a limit."""

    rooms: int
    fixed: int
    portables: int
    doors: int
    quests: int
    events: int
    conditions: int
    commands: int
    code: int
    tokens: int


# Few sizes, since the rules are compiled once for each: two of states, two of tables.
STATES = (
    {"rooms": 16, "fixed": 16, "portables": 24, "doors": 16},
    {name: LARGEST[name] for name in ("rooms", "fixed", "portables", "doors")},
)
TABLES = tuple(
    {
        "quests": LARGEST["quests"],
        "events": LARGEST["events"] * k // 16,
        "conditions": LARGEST["conditions"] * k // 16,
        "commands": 320 * k,
        "code": 640 * k,
        "tokens": 1536 * k,
    }
    for k in (4, 16)
)


def too_large(game: str, name: str, need: int) -> ValueError:
    """Return the error that a game needs (at least) so much of a field of `Size`, more than the largest one has."""
    most = {**STATES[-1], **TABLES[-1]}[name]
    return ValueError(f"{printable(game)} has {need} {name}, {need - most} more than the {most} a game may have")


def size_for(needs: Sequence[tuple[str, dict[str, int]]]) -> Size:
    """Return the smallest size with space for games of these needs: a game's name, and field -> how much.

    Raises:
        ValueError: names the game, the field, and by how much it exceeds the largest size.
    """
    # Each group by itself: a small map with many texts takes small states and large tables.
    chosen: dict[str, int] = {}
    for choices in (STATES, TABLES):
        for game, need in needs:
            for name, most in choices[-1].items():
                if need[name] > most:
                    raise too_large(game, name, need[name])
        # One size for the pool, since its levels are one array.
        worst = {name: max((need[name] for _, need in needs), default=0) for name in choices[0]}
        chosen |= next(size for size in choices if all(worst[name] <= size[name] for name in size))
    return Size(**chosen)


def state_kind(size: Size, listed: int = 0) -> np.dtype:
    """Return the record of a row's state: `game`, which rules, texts, parser and solver take, and `interface`."""
    return state_record(game=game_kind(size), interface=interface_kind(listed))


def interface_kind(listed: int) -> np.dtype:
    """Return the record of what is being typed and what the next observation shows.

    `listed`: space for the numbers of this turn's admissible commands, where a policy chooses by place in their list.
    """
    choices = {"listed": (np.int16, (listed,)), "listed_count": np.int16} if listed else {}
    return record(
        **choices,  # in front: no record may be the beginning of another
        low=np.int16,  # commands that begin with the words typed so far: low .. high - 1
        high=np.int16,
        word=np.int16,  # the token typed last, or the command carried out last
        typed=np.uint8,  # words of the command typed so far
        reply_pending=np.uint8,  # 1 when the last step carried out a command, whose reply the next observation shows
    )


def game_kind(size: Size) -> np.dtype:
    """Return the record of a game's state."""
    portables, holders, locks = size.portables, size.rooms + size.fixed + 1, size.fixed + size.doors
    return record(
        done_quests=np.uint64,  # a bit a quest
        to_test=np.uint64,  # quests that this turn's changes may decide
        score=np.int32,
        turns=np.int32,  # commands that cost a turn
        gain=np.int32,  # points gained in the last turn
        reply=np.uint8,  # number of a reply, see llm_envs.text.language.replies, and what it speaks of
        x=np.uint8,
        y=np.uint8,
        z=np.uint8,
        inferred=np.uint8,  # number of the phrase that mentions z, the noun that the parser inferred; 0 for none
        ending=np.uint8,  # PLAYING, WON or LOST
        room=np.uint8,
        free_slots=np.uint8,  # bits; a slot can be both free and used after a meal of four
        used_slots=np.uint8,
        holder=(np.uint8, (portables,)),  # where each portable is, or NONE
        after=(np.uint8, (portables,)),  # the portable listed after it in its holder, or NONE
        first=(np.uint8, (holders,)),  # the portable listed first in each holder, or NONE
        lock=(np.uint8, (locks,)),
        food=(np.uint8, (portables,)),
        cut=(np.uint8, (portables,)),
    )


def level_kind(size: Size) -> np.dtype:
    """Return the record of a compiled game."""
    portables, holders, locks = size.portables, size.rooms + size.fixed + 1, size.fixed + size.doors
    things = size.portables + size.fixed + size.doors
    return record(
        key=np.uint64,  # a hash of the game: the key of its symbol table, and what decides its split
        # how many there are of each
        rooms=np.int16,
        fixed=np.int16,
        portables=np.int16,
        doors=np.int16,
        quests=np.int16,
        num_commands=np.int16,
        slots=np.int16,  # of the player's hands, in theme COOKING_DROP
        theme=np.int16,
        # the map
        exits=(np.uint8, (size.rooms, 4)),  # the room to the north, south, east, west; or NONE
        exit_doors=(np.uint8, (size.rooms, 4)),  # the door there, or NONE
        place=(np.uint8, (size.fixed,)),  # room
        kind=(np.uint8, (size.fixed,)),
        key_of=(np.uint8, (locks,)),  # the portable that locks and unlocks it, or NONE
        traits=(np.uint8, (portables,)),
        # the state at the start
        start_room=np.uint8,
        start_free=np.uint8,
        start_used=np.uint8,
        start_holder=(np.uint8, (portables,)),
        start_after=(np.uint8, (portables,)),
        start_first=(np.uint8, (holders,)),
        start_lock=(np.uint8, (locks,)),
        start_food=(np.uint8, (portables,)),
        start_cut=(np.uint8, (portables,)),
        # the recipe: prepare meal
        kitchen=np.uint8,  # room, or NONE
        meal=np.uint8,  # portable
        first_part=np.uint8,  # portable: ingredient_1
        num_parts=np.uint8,
        parts=(np.uint8, (8, 3)),  # portable, heat, cut; in the order in which the story checks them
        # quests: events first_event[q] .. first_event[q + 1] - 1, of which the first num_fails[q] are fail events
        always=np.uint64,  # quests that are tested on every turn
        quest_reward=(np.int16, (size.quests,)),
        quest_flags=(np.uint8, (size.quests,)),
        num_fails=(np.int16, (size.quests,)),
        first_event=(np.int16, (size.quests + 1,)),
        first_condition=(np.int16, (size.events + 1,)),
        conditions=(np.uint8, (size.conditions, 3)),
        watch_room=np.uint64,  # quests to test when the player moves, a portable changes, a lock changes
        watch_portable=(np.uint64, (portables,)),
        watch_lock=(np.uint64, (locks,)),
        # commands, sorted by their words; first_rank and ranks lead from (verb, x, y) to the number
        commands=(np.uint8, (size.commands, 3)),
        command_words=(np.uint8, (size.commands,)),  # how many tokens
        command_text=(np.int16, (size.commands,)),  # where in `tokens`
        first_rank=(np.int16, (codes.VERBS,)),
        ranks=(np.int16, (size.commands,)),  # -1 where there is no such command
        ordinal=(np.uint8, (things,)),  # among supporters, among containers, among blades
        heat_ordinal=(np.uint8, (size.fixed,)),  # of a source of heat among those
        stride=(np.uint8, (codes.VERBS,)),  # how many y there are for each x
        # texts
        name=(np.int16, (things + size.rooms,)),  # of things, then of rooms: where in `tokens`
        name_words=(np.uint8, (things + size.rooms,)),
        article=(np.int16, (things,)),  # the token before a name in lists: a, an, some ...; 0 for none
        room_text=(np.int16, (size.rooms,)),  # address of its program, see llm_envs.text.language.program
        thing_text=(np.int16, (things,)),  # the same
        objective=np.int16,  # the same
        code=(np.int16, (size.code,)),
        tokens=(np.int16, (size.tokens,)),
    )
