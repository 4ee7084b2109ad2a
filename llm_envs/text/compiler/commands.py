"""The commands of a game: every form of its theme's verbs (llm_envs.text.rules.table), with things of the game."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from llm_envs.text.model.game import CONTAINERS, DIRECTIONS, SUPPORTERS, Game, kind_of
from llm_envs.text.records import codes
from llm_envs.text.records.numbering import Numbers
from llm_envs.text.rules.table import GROUP, VERBS, Verb

HEATS, FOODS = ("oven", "stove", "toaster"), ("f", "meal")
Groups = Mapping[str, Mapping[str, int]]  # group of a form -> id -> ordinal in the group


class Command(NamedTuple):
    """A command of a game, and the numbers that it has in the level."""

    text: str
    verb: int
    x: int  # thing, or direction of GO; NONE where the command names nothing
    y: int  # thing or NONE
    ordinal: int  # which of the y that the verb can have: 0 .. stride - 1


def groups_of(game: Game, numbers: Numbers) -> dict[str, dict[str, int]]:
    """Return the things of a game that a form of a command may name, by group; all but "key", which depends on x."""
    sharp = {fact[1] for fact in game.named("sharp")}
    drinkable = {fact[1] for fact in game.named("drinkable")}
    groups = {
        "way": DIRECTIONS,
        "thing": numbers.things,
        "portable": numbers.portables,
        "fixed": numbers.fixed,
        "supporter": [thing for thing in numbers.fixed if kind_of(thing) in SUPPORTERS],
        "container": [thing for thing in numbers.fixed if kind_of(thing) in CONTAINERS],
        "heat": [thing for thing in numbers.fixed if kind_of(thing) in HEATS],
        "lock": [thing for thing in numbers.locks if kind_of(thing) not in SUPPORTERS],
        "food": [thing for thing in numbers.portables if kind_of(thing) in FOODS],
        "drink": [thing for thing in numbers.portables if thing in drinkable],
        "blade": [thing for thing in numbers.portables if thing in sharp],
    }
    return {name: {thing: ordinal for ordinal, thing in enumerate(group)} for name, group in groups.items()}


def widths(verb: Verb, groups: Groups) -> list[int]:
    """Return how many y each form of a verb has for an x; a form without y counts as one, and so does a key."""
    return [1 if len(named) < 2 or named[1] == "key" else len(groups[named[1]]) for named in verb.groups()]


def strides(groups: Groups) -> list[int]:
    """Return, for each verb, how many y there are for an x: the ranks that each x takes in the table of commands."""
    return [max(sum(widths(verb, groups)), 1) for verb in VERBS]


def all_commands(game: Game, numbers: Numbers, groups: Groups) -> Iterator[Command]:
    """Yield the game's commands by verb."""
    numbered = {**numbers.things, **groups["way"]}  # what a command holds for each id
    names = {thing: game.things[thing].name for thing in numbers.things} | {way: way for way in DIRECTIONS}
    key_of = {lock: {key: 0} for _, key, lock in game.named("match")}
    # Both themes, "cooking" and "cooking-drop", have the same verbs.
    cooking = game.theme.startswith("cooking")
    for verb in VERBS:
        # As TextWorld lists: no verb that no rule of the theme has, and none for things that the game lacks.
        if (verb.cooking and not cooking) or (verb.only_with and not any(game.of_kind(verb.only_with))):
            continue
        first = 0  # ordinal of the form's first y
        for form, named, width in zip(verb.forms, verb.groups(), widths(verb, groups), strict=True):
            text = GROUP.sub("{}", form)
            if not named:
                yield Command(text, verb.code, codes.NONE, codes.NONE, first)
            for x in groups[named[0]] if named else ():
                if len(named) == 1:
                    yield Command(text.format(names[x]), verb.code, numbered[x], codes.NONE, first)
                    continue
                # A lock has one key, so commands with other keys would only enlarge the table.
                others = key_of.get(x, {}) if named[1] == "key" else groups[named[1]]
                for y, k in others.items():
                    yield Command(text.format(names[x], names[y]), verb.code, numbered[x], numbered[y], first + k)
            # Ordinals of a verb's forms follow each other, so that one stride addresses them all (plan, tables).
            first += width
