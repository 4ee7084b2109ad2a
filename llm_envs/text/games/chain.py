"""Chain: goals that depend on each other, side quests, and mistakes that lose the game.

Description:  The objective lists a main chain of goals, each of which can be reached only after the one before it: open
              a container, take the key in it, unlock a door or a chest with that, go through or open it, and so on; the
              last two are to take a thing and to put it on a certain piece of furniture. Side quests may be done before
              that. With failure=True the game is lost when a certain food is eaten, or when the thing of the last goal
              is put or dropped anywhere but there and where it lay.
Observation:  tokens: the transcript, padded on the right with <pad> (0). length: how many they are. token_mask: 1 for
              the words of commands. action_mask: 1 for what is admissible now. See Text/World-v0.
Action:       A command; see Text/World-v0.
Reward:       score: points gained, 1 for each goal and each side quest. Weight 0 unless asked for: win: 1 on winning;
              lose: 1 on losing; turn: 1 every turn; invalid: 1 for a command that is refused.
Termination:  The main chain is done, or the game is lost.
Truncation:   After max_steps commands (100), as in Text/World-v0.
Arguments:    length (int, 4): goals of the main chain, 1 to 20; branches (int, 2): side quests, 0 to 8; failure (bool,
              True): whether the game can be lost. pool, observation, action, mask, shows, facts, window, max_steps: as
              in Text/World-v0.
Levels:       The chain is drawn from its end: before "put" comes "take"; before "take" of a thing or a key "open" or
              "go"; before "open" "unlock" or "go"; before "go" "unlock"; before "unlock" "take". Rooms are one for the
              start, one for each "go" and two more, joined as a tree. A side quest is to eat, to take, or to put
              something on a supporter.
Source:       Ours; the rules and the kinds of quests are TextWorld's (Cote et al., 2018).

    Do this: go to the porch; open the letterbox; take the hammer; put the hammer on the divan. Before the last of these
    you may also put the egg timer on the cutting board; put the sock on the bathtub rim. You lose if you eat the pear,
    or leave the hammer anywhere else.
    -= Bathroom =- This is the bathroom. You see a bathtub rim. The way north is open. To the west is a closed carved
    door. There is a pear on the floor.
    > open carved door
    You open carved door.
    > go west
    -= Porch =- You have come to the porch. You see a bench. You see a closed letterbox. You can go north. To the east
    is an open carved door. Your score has just gone up by one point.
    > open letterbox
    You open the letterbox, revealing a hammer. Your score has just gone up by one point.
    > take hammer from letterbox
    You take the hammer from the letterbox. Your score has just gone up by one point.
    > drop hammer
    You drop the hammer on the ground. *** You lost! ***
"""

from itertools import pairwise

import numpy as np

from llm_envs.text.authoring import names
from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.floor_plans import floor_plan
from llm_envs.text.authoring.names import furnish, lock_names
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import SUPPORTERS, Fact, Game, kind_of, place_fact
from llm_envs.validation import check_range, check_switch

BEFORE = {"put": ("take",), "take": ("open", "go"), "open": ("unlock", "go"), "go": ("unlock",), "unlock": ("take",)}


@text_game(pool=100, max_steps=100)
def chain(seed: int, length: int = 4, branches: int = 2, failure: bool = True) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("length", length, 1, 20)
    check_range("branches", branches, 0, 8)
    check_switch("failure", failure)
    maker = Maker("chain", "base", np.random.default_rng(seed))
    kinds = ["put"]
    # From the end: each goal is preceded by one that makes it possible.
    while len(kinds) < length:
        kinds.insert(0, maker.pick(BEFORE[kinds[0]]))
    # One room for the start, one for each "go", and two where nothing but side quests happens.
    rooms = [maker.room(name) for name in maker.draw(tuple(names.ROOMS), kinds.count("go") + 3)]
    plan = [(rooms[near], way, rooms[far]) for near, way, far in floor_plan(maker, len(rooms))]
    supporters = [furnish(maker, room, "s") for room in rooms]
    objects, foods = maker.draw(names.OBJECTS, branches + 1), maker.draw(names.FOODS, branches + 1)
    goals = link_goals(maker, kinds, plan, supporters, objects[0])
    # The first passages are those of the goals; what is left gets no doors.
    for passage in plan[kinds.count("go") :]:
        maker.connect(*passage)

    name_of = {key: thing.name for key, thing in maker.things.items()}
    (_, _, (_, thing, goal)), spots = goals[-1], rooms + supporters
    wrong: list[list[Fact]] = []
    if failure:
        places = [*rooms, *(fixed for group in maker.places.values() for fixed in group)]
        # Where it lies at first is no mistake: the fact holds before anything is done.
        wrong = [[fact] for place in places if place != goal and (fact := place_fact(thing, place)) not in maker.facts]
    for kind, _, fact in goals:
        maker.quest(fact, fail=wrong if kind == "put" else ())
    words = [f"{kind} the {name_of[target]}".replace("go the", "go to the") for kind, target, _ in goals[:-1]]
    objective = f"Do this: {'; '.join([*words, f'put the {name_of[thing]} on the {name_of[goal]}'])}."
    sides = [side_quest(maker, spots, *own) for own in zip(objects[1:], foods[1:], strict=True)]
    if sides:
        objective += f" Before the last of these you may also {'; '.join(sides)}."
    if failure:
        maker.quest(fail=[[("eaten", maker.put("f", foods[0], maker.pick(spots), traits=("edible",)))]], reward=0)
        objective += f" You lose if you eat the {foods[0]}, or leave the {name_of[thing]} anywhere else."
    maker.start(rooms[0])
    # In the order of the goals, which is a way to win as each needs the one before.
    walk = Walk(maker.things, maker.facts)
    carry_out = {"go": walk.go, "take": walk.take, "unlock": walk.unlock, "open": walk.open}
    for kind, target, _ in goals[:-1]:
        carry_out[kind](target)
    walk.put(thing, goal)
    return maker.game(objective, walk.commands, {"length": length, "branches": branches, "failure": bool(failure)})


def link_goals(
    maker: Maker, kinds: list[str], plan: list[tuple[str, str, str]], supporters: list[str], name: str
) -> list[tuple[str, str, Fact]]:
    """Place what goals of these kinds need, and the doors that join their rooms; return kind, thing and fact of each.

    `name` is that of the thing which the last goal is about.
    """
    # A lock is a door if its goal is followed by "go", else a chest.
    locks = iter(lock_names(maker, ["door" if b == "go" else "chest" for a, b in pairwise(kinds) if a == "unlock"]))
    rooms = [plan[0][0], *(far for _, _, far in plan)]
    room, place, goals = 0, maker.pick((rooms[0], supporters[0])), list[tuple[str, str, Fact]]()
    for i, kind in enumerate(kinds):
        first = i == 0
        # The thing of the last goal lies where the goal before leads to.
        if "put" in kinds[i : i + 2] and (first or kind == "take"):
            item = maker.put("o", name, place)
        elif kind == "take" or (first and kind == "unlock"):
            lock, key = next(locks)
            item = maker.put("k", key, place)
        if kind == "unlock":
            if kinds[i + 1] == "go":
                target = maker.connect(*plan[room], lock, "locked")
            else:
                target = maker.fix("c", lock, maker.pick(rooms[: room + 1]), "locked")
            maker.say("match", item, target)
            fact: Fact = ("closed", target)
        elif kind == "open":
            if first or kinds[i - 1] == "go":
                target = furnish(maker, rooms[room], "c", "closed")
            place, fact = target, ("open", target)
        elif kind == "go":
            if first:
                maker.connect(*plan[room], maker.pick(names.DOORS), "closed")
            room += 1
            target = rooms[room]
            place, fact = maker.pick((target, supporters[room])), ("at", "P", target)
        elif kind == "take":
            target, fact = item, ("in", item, "I")
        else:
            target = maker.pick([supporter for supporter in supporters if supporter != place])
            fact = ("on", item, target)
        goals.append((kind, target, fact))
    return goals


def side_quest(maker: Maker, spots: list[str], thing: str, food: str) -> str:
    """Add an optional quest about a thing or a food that lies on one of `spots`; return it in words."""
    kind, place = maker.pick(("eat", "take", "put")), maker.pick(spots)
    if kind == "eat":
        maker.quest(("eaten", maker.put("f", food, place, traits=("edible",))), optional=True)
        return f"eat the {food}"
    item = maker.put("o", thing, place)
    if kind == "take":
        maker.quest(("in", item, "I"), optional=True)
        return f"take the {thing}"
    goal = maker.pick([spot for spot in spots if kind_of(spot) in SUPPORTERS and spot != place])
    maker.quest(("on", item, goal), optional=True)
    return f"put the {thing} on the {maker.things[goal].name}"
