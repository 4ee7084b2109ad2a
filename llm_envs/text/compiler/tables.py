"""Fills the tables of a level: map, start, recipe, quests, commands; `texts` fills its texts."""

import hashlib

import numpy as np

from llm_envs.text.compiler.conditions import FOODS, Condition, slot_number
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.model.game import DIRECTIONS, THEMES, Game, kind_of
from llm_envs.text.records import codes
from llm_envs.text.records.numbering import Numbers

KINDS = {"c": codes.CONTAINER, "oven": codes.OVEN, "s": codes.SUPPORTER, "stove": codes.STOVE, "toaster": codes.TOASTER}


def write_level(level: np.void, plan: Plan) -> None:
    """Fill all tables but the texts."""
    game, numbers = plan.game, plan.numbers
    # What a player can notice, not the game's name or settings: equal games are one level, in one split.
    content = (game.theme, list(game.things.values()), game.facts, game.quests, game.objective)
    level["key"] = int.from_bytes(hashlib.sha256(repr(content).encode()).digest()[:8], "little")
    for name in ("rooms", "fixed", "portables", "doors"):
        level[name] = len(getattr(numbers, name))
    level["theme"] = THEMES.index(game.theme)
    write_map(level, game, numbers)
    write_start(level, plan)
    write_recipe(level, plan)
    write_quests(level, plan)
    write_commands(level, plan)


def write_map(level: np.void, game: Game, numbers: Numbers) -> None:
    """Fill exits, doors, fixed things and what portables are."""
    for name in ("exits", "exit_doors", "place", "key_of"):
        level[name] = codes.NONE
    doors = {(a, b): d for _, a, d, b in game.named("link")}
    for k, way in enumerate(DIRECTIONS):
        for _, there, here in game.named(f"{way}_of"):
            # north_of(there, here): going north from here leads there.
            level["exits"][numbers.rooms[here], k] = numbers.rooms[there]
            if (here, there) in doors:
                level["exit_doors"][numbers.rooms[here], k] = numbers.doors[doors[here, there]]
    for _, thing, place in (fact for fact in game.named("at") if fact[1] in numbers.fixed):
        level["place"][numbers.fixed[thing]] = numbers.rooms[place]
    for thing, k in numbers.fixed.items():
        level["kind"][k] = KINDS[kind_of(thing)]
    for _, key, lock in game.named("match"):
        level["key_of"][numbers.locks[lock]] = numbers.portables[key]
    for thing, k in numbers.portables.items():
        level["traits"][k] = {"f": codes.FOOD, "meal": codes.FOOD | codes.MEAL}.get(kind_of(thing), 0)
    for name, trait in (("sharp", codes.SHARP), ("drinkable", codes.DRINKABLE)):
        for _, thing in game.named(name):
            level["traits"][numbers.portables[thing]] |= trait


def write_start(level: np.void, plan: Plan) -> None:
    """Fill the state at the start, from the facts."""
    numbers = plan.numbers
    for name in ("start_holder", "start_after", "start_first"):
        level[name] = codes.NONE
    for fact in plan.game.facts:
        kind, a, b = plan.conditions.of(fact)
        if kind == codes.AT_ROOM:
            level["start_room"] = a
        # free(room, room) says of a door what open(door) says.
        elif kind == codes.LOCK_IS and fact[0] != "free":
            level["start_lock"][a] = b
        elif kind == codes.SLOT_FREE:
            level["start_free"] |= 1 << a
        elif kind == codes.SLOT_USED:
            level["start_used"] |= 1 << a
        elif kind != codes.ALWAYS and fact[1] in numbers.portables:
            set_portable(level, fact, (kind, a, b))
    # Slots are counted by the facts on them: free(slot), used(slot).
    level["slots"] = len({slot_number(fact[1]) for fact in plan.game.facts if kind_of(fact[-1]) == "slot"})
    # Each goes to the front of its holder's list, so the last comes first and the lists end up in order.
    for k in reversed(range(len(numbers.portables))):
        holder = level["start_holder"][k]
        if holder != codes.NONE:
            level["start_after"][k] = level["start_first"][holder]
            level["start_first"][holder] = k


def set_portable(level: np.void, fact: tuple[str, ...], condition: Condition) -> None:
    """Fill what a fact says of a portable at the start: its place, or a bit of its food or cut."""
    _, k, value = condition
    if fact[0] in ("at", "in", "on"):
        level["start_holder"][k] = value
    elif fact[0] in ("uncut", "sliced", "diced", "chopped", "eaten", "consumed", "used"):
        level["start_cut"][k] |= value
    else:
        level["start_food"][k] |= value


def write_recipe(level: np.void, plan: Plan) -> None:
    """Fill what `prepare meal` asks for."""
    game, numbers = plan.game, plan.numbers
    level["kitchen"], level["meal"] = codes.NONE, codes.NONE
    meals = game.of_kind("meal")
    if not meals or not game.theme.startswith("cooking"):
        return
    level["meal"] = numbers.portables[meals[0].id]
    for _, room, _ in game.named("cooking_location"):
        level["kitchen"] = numbers.rooms[room]
    for _, thing in game.named("ingredient_1"):
        level["first_part"] = numbers.portables[thing]
    food_of = {part: thing for _, thing, part in game.named("base")}
    # The recipe's ingredients, in the order of the game's things.
    wanted = [fact[1] for fact in game.named("in") if fact[2] == "RECIPE"]
    parts = [thing.id for thing in game.of_kind("ingredient") if thing.id in wanted]
    level["num_parts"] = len(parts)
    for k, part in enumerate(parts):
        # Where nothing is stated, it stays as it is: unheated, uncut.
        heat, cut = 0, codes.UNCUT
        # Facts on an ingredient ("roasted", "diced") say what its food must become.
        for name in (fact[0] for fact in game.facts if fact[1:] == (part,)):
            kind, value = FOODS.get(name, (codes.ALWAYS, 0))
            heat, cut = (
                (value, cut) if kind == codes.HEAT_IS else (heat, value) if kind == codes.CUT_IS else (heat, cut)
            )
        level["parts"][k] = numbers.portables[food_of[part]], heat, cut


def write_quests(level: np.void, plan: Plan) -> None:
    """Fill events, their conditions, and which changes they watch."""
    quests, event, condition = plan.game.quests, 0, 0
    level["quests"] = len(quests)
    for q, quest in enumerate(quests):
        # Quests are bits of one number: done_quests, to_test and the watch_ fields.
        bit = np.uint64(1 << q)
        level["quest_reward"][q] = quest.reward
        flags = (quest.optional, quest.repeatable, bool(quest.win))
        level["quest_flags"][q] = sum(
            bit for bit, on in zip((codes.OPTIONAL, codes.REPEATABLE, codes.HAS_WIN), flags, strict=True) if on
        )
        level["num_fails"][q], level["first_event"][q] = len(quest.fail), event
        if quest.repeatable:
            level["always"] |= bit
        # Fail events first, as they are tested first.
        for facts in (*quest.fail, *quest.win):
            level["first_condition"][event] = condition
            event += 1
            for k, wanted in enumerate(map(plan.conditions.of, facts)):
                level["conditions"][condition + k] = wanted
                watch(level, wanted, bit)
            condition += len(facts)
        level["first_event"][q + 1], level["first_condition"][event] = event, condition


def watch(level: np.void, condition: Condition, quest: np.uint64) -> None:
    """Set a quest to be tested when what a condition is about changes."""
    kind, a, _ = condition
    if kind == codes.AT_ROOM:
        level["watch_room"] |= quest
    elif kind == codes.LOCK_IS:
        level["watch_lock"][a] |= quest
    # Taking, dropping, eating and preparing all change slots: quests on them are tested on every turn.
    elif kind in (codes.SLOT_FREE, codes.SLOT_USED):
        level["always"] |= quest
    elif kind == codes.HELD_BY or kind > codes.LOCK_IS:
        level["watch_portable"][a] |= quest


def write_commands(level: np.void, plan: Plan) -> None:
    """Fill the table of commands and the way from (verb, x, y) to it."""
    level["num_commands"] = len(plan.commands)
    level["first_rank"], level["ranks"], level["ordinal"] = plan.first_rank[:-1], -1, 0
    level["stride"] = plan.strides
    for k, (_, verb, x, y, ordinal) in enumerate(plan.commands):
        level["commands"][k] = verb, x, y
        # Verbs without x have one row.
        row = 0 if x == codes.NONE else x
        # command_of in rules.admissible reads it by the same formula.
        level["ranks"][plan.first_rank[verb] + row * plan.strides[verb] + ordinal] = k
    for name in ("supporter", "container", "blade"):
        for thing, ordinal in plan.groups[name].items():
            level["ordinal"][plan.numbers.things[thing]] = ordinal
    for thing, ordinal in plan.groups["heat"].items():
        level["heat_ordinal"][plan.numbers.fixed[thing]] = ordinal
