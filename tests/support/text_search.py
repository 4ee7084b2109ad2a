"""An exhaustive search for the shortest win, to check the solver by, and games of all sorts to check it on."""

from dataclasses import replace
from functools import cache

import numpy as np
from numba import njit

from llm_envs.engine.jit import cached, specialise
from llm_envs.text.authoring.builder import Maker
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.compiler.tables import write_level
from llm_envs.text.model.game import Quest
from llm_envs.text.records import codes
from llm_envs.text.rules.admissible import lister
from llm_envs.text.rules.quests import holds
from llm_envs.text.rules.turn import take_turn
from llm_envs.text.solver.solve import LEVEL, SIGNALS, STATE, start_of

COUNTED = ("done_quests", "to_test", "room", "free_slots", "used_slots", "holder", "lock", "food", "cut")


@njit
def note(sink, state, level, command):
    sink[0] += 1
    sink[sink[0]] = command


list_commands = lister(note)


def _follow(levels, states, after, commands, signals):
    """Write the commands that are admissible in a state, their count first, and the states after them."""
    commands[0] = 0
    list_commands(commands, states[0], levels[0])
    for k in range(commands[0]):
        after[k] = states[0]
        command = commands[k + 1]
        verb, x, y = levels[0].commands[command, 0], levels[0].commands[command, 1], levels[0].commands[command, 2]
        take_turn(after[k], levels[0], verb, x, y, signals[0])


@cache
def follow():
    return specialise(_follow, cached())


def after_each(level, state):
    """Return the admissible commands of a state, and the states after them."""
    states, commands = np.zeros(300, STATE), np.zeros(301, np.int64)
    follow()(level, state, states, commands, np.zeros(1, SIGNALS))
    return commands[1 : commands[0] + 1].tolist(), states[: commands[0]]


def shortest(level, state):
    """Return the fewest commands that win from a state, by breadth-first search without any omission; None if none."""
    if state["ending"].item() != codes.PLAYING:
        return 0 if state["ending"].item() == codes.WON else None
    seen, now, length = set(), [state], 0
    while now:
        length, later = length + 1, []
        for one in now:
            for new in after_each(level, one)[1]:
                if new["ending"] == codes.WON:
                    return length
                code = b"".join(new[name].tobytes() for name in COUNTED)
                if new["ending"] == codes.PLAYING and code not in seen:
                    seen.add(code)
                    later.append(np.array([new], STATE))
        now = later
    return None


def compiled(game):
    plan = Plan(game)
    level = np.zeros(1, LEVEL)
    write_level(level[0], plan)
    return level, plan


def any_game(seed):
    """Return a small game with a bit of everything; its quests and fail events are drawn with a random play."""
    rng = np.random.default_rng(seed)
    drop = rng.random() < 0.5
    maker = Maker("any", "cooking-drop" if drop else "cooking", rng)
    hall, yard = maker.room("hall"), maker.room("yard")
    door = maker.connect(hall, "north", yard, "oak door", maker.pick(("closed", "locked")))
    box, shelf = maker.fix("c", "box", hall, maker.pick(("open", "locked"))), maker.fix("s", "shelf", yard)
    maker.fix(*maker.pick((("stove", "stove"), ("toaster", "BBQ"))), maker.pick((hall, yard)))
    key = maker.put("k", "brass key", maker.pick((hall, "I")))
    maker.say("match", key, maker.pick((door, box)))
    traits = maker.pick((("edible", "raw", "uncut"), ("inedible", "needs_cooking"), ("edible", "cooked", "fried")))
    plum = maker.put("f", "plum", maker.pick((box, shelf, hall, "I")), traits=traits)
    if rng.random() < 0.6:
        maker.put("o", "knife", maker.pick((box, hall, "I")), traits=["sharp"])
    part, meal = maker.add("ingredient"), maker.add("meal", "meal")
    for fact in (("ingredient_1", plum), ("base", plum, part), ("in", part, "RECIPE"), ("edible", meal)):
        maker.say(*fact)
    maker.say(maker.pick(("uncut", "diced")), part)
    maker.say(maker.pick(("raw", "fried", "grilled")), part)
    maker.say("out", meal, "RECIPE")
    maker.say("cooking_location", maker.pick((hall, yard)), "RECIPE")
    held = sum(fact[-1] == "I" for fact in maker.facts)
    for k in range(max(held, 1 + int(rng.integers(2))) if drop else 0):
        maker.say("used" if k < held else "free", maker.add("slot"))
    maker.start(maker.pick((hall, yard)))
    return with_quests(maker.game("Do something."), rng)


def with_quests(game, rng):
    """Return a game with quests that a random play does, and fail events that it keeps clear of."""
    level, plan = compiled(game)
    facts, test = list(plan.conditions.changing()), getattr(holds, "py_func", holds)
    state, past = start_of(level), []
    for _ in range(40):
        record = state.view(np.recarray)[0]
        past.append({fact for fact in facts if test(record, *plan.conditions.of(fact))})
        commands, states = after_each(level, state)
        verbs = [plan.commands[command][1] for command in commands]
        acts = [k for k, verb in enumerate(verbs) if verb not in (codes.LOOK, codes.INVENTORY, codes.EXAMINE)] or [0]
        state = np.array([states[acts[rng.integers(len(acts))]]], STATE)
        state["ending"] = codes.PLAYING

    def draw(group):
        return sorted(group)[rng.integers(len(group))]

    quests = []
    for _ in range(2 + rng.integers(3)):
        when = past[-1 - rng.integers(15)]
        win = [(draw((when - past[0] - past[3]) or when), *(draw(when) for _ in range(rng.integers(2))))]
        win += [(draw(when),)] if rng.random() < 0.2 else []
        fails = [tuple(draw(facts) for _ in range(1 + rng.integers(2))) for _ in range(rng.integers(4))]
        fails = [fail for fail in fails if not any(set(fail) <= then for then in past)]
        quests.append(Quest(tuple(win), tuple(fails), optional=rng.random() < 0.15))
    return replace(game, quests=tuple(quests))
