"""House: a furnished house with some errands: put things where they belong, open, close or fetch them.

Description:  Each room has a container and a supporter; half of the passages have doors; containers and doors are open
              or closed. Objects lie on floors, on and in the furniture. The objective lists the errands, which may be
              done in any order: put X on or into Y, take X, open or close Z. An errand once done stays done.
Observation:  tokens: the transcript, padded on the right with <pad> (0). length: how many they are. token_mask: 1 for
              the words of commands. action_mask: 1 for what is admissible now. See Text/World-v0.
Action:       A command; see Text/World-v0.
Reward:       score: points gained, 1 for each errand. Weight 0 unless asked for: win: 1 on winning; lose: 0 here; turn:
              1 every turn; invalid: 1 for a command that is refused.
Termination:  All errands are done.
Truncation:   After max_steps commands (100), as in Text/World-v0. With rooms=20, objects=32, quests=16 the walkthrough
              takes 66 on average, and 91 at most in 400 games.
Arguments:    rooms (int, 6): how many, 1 to 20; objects (int, 8): things to carry, 1 to 32; quests (int, 3): errands, 1
              to 16 and at most objects. pool, observation, action, mask, shows, facts, window, max_steps: as in
              Text/World-v0.
Levels:       The rooms form a random tree, and one in five of the further pairs of neighbours is joined. Half of the
              errands are to put something somewhere, a quarter to open or close, a quarter to take; no two have the
              same subject, and none is done at the start.
Source:       Ours, in the manner of TextWorld's custom games (Cote et al., 2018), whose rules hold.

    There is work in this house: take the almanac; put the napkin on the trestle.
    -= Nursery =- You are in the nursery. You see a closed toy bin. There is a cradle here. On the cradle you see a
    napkin. To the east is a closed oak door.
    > take napkin from cradle
    You take the napkin from the cradle.
    > open oak door
    You open oak door.
    > go east
    -= Cellar =- You stand in the cellar. You notice a closed cider barrel. You notice a trestle. On the trestle you see
    a chess piece. To the west is an open oak door. There is an almanac on the floor.
    > put napkin on trestle
    You put the napkin on the trestle. Your score has just gone up by one point.
    > take almanac
    You pick up the almanac from the ground. Your score has just gone up by one point. *** The End ***
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.floor_plans import floor_plan
from llm_envs.text.authoring.names import DOORS, OBJECTS, ROOMS, furnish
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game, place_fact
from llm_envs.validation import check_range

OTHER = {"open": "closed", "closed": "open"}


@text_game(pool=100, max_steps=100)
def house(seed: int, rooms: int = 6, objects: int = 8, quests: int = 3) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("rooms", rooms, 1, 20)
    check_range("objects", objects, 1, 32)
    check_range("quests", quests, 1, 16)
    if quests > objects:
        raise ValueError(f"quests is {quests} and objects {objects}; there must be at least as many objects as quests")
    maker = Maker("house", "base", np.random.default_rng(seed))
    ids = [maker.room(name) for name in maker.draw(tuple(ROOMS), rooms)]
    states = {}  # of what can be opened or closed
    # A large house may have more passages than there are names: the rest is without doors.
    door_names = iter(maker.draw(DOORS))
    for here, way, there in floor_plan(maker, rooms, extra=0.2):
        name = next(door_names, "") if maker.rng.random() < 0.5 else ""
        state = maker.pick(tuple(OTHER))
        door = maker.connect(ids[here], way, ids[there], name, state)
        if door:
            states[door] = state
    furniture = []
    for room in ids:
        state = maker.pick(tuple(OTHER))
        container = furnish(maker, room, "c", state)
        states[container] = state
        furniture += [container, furnish(maker, room, "s")]
    places = {}  # object -> where it lies
    for name in maker.draw(OBJECTS, objects):
        place = maker.pick(furniture if maker.rng.random() < 0.75 else ids)
        places[maker.put("o", name, place)] = place
    maker.start(ids[0])

    walk, errand_texts = Walk(maker.things, maker.facts), []
    errands: list[tuple[str, ...]] = []  # verb, thing, and where to put it
    movable, closable = maker.draw(tuple(places), objects), maker.draw(tuple(states))
    for _ in range(quests):
        kind = maker.pick(("put", "put", "take", "turn"))
        # pop: each thing is the subject of one errand, so none undoes another.
        if kind == "turn" and closable:
            thing = closable.pop()
            new = OTHER[states[thing]]
            maker.quest((new, thing))
            errands.append(("open" if new == "open" else "close", thing))
            errand_texts.append(f"{errands[-1][0]} the {walk.names[thing]}")
        elif kind == "put":
            thing = movable.pop()
            goal = maker.pick([place for place in furniture if place != places[thing]])
            maker.quest(place_fact(thing, goal))
            errands.append(("put", thing, goal))
            # Of furniture, containers alone have a state.
            word = "into" if goal in states else "on"
            errand_texts.append(f"put the {walk.names[thing]} {word} the {walk.names[goal]}")
        else:
            thing = movable.pop()
            maker.quest(("in", thing, "I"))
            errands.append(("take", thing))
            errand_texts.append(f"take the {walk.names[thing]}")
    carry_out(walk, errands)
    settings = {"rooms": rooms, "objects": objects, "quests": quests}
    return maker.game(f"There is work in this house: {'; '.join(errand_texts)}.", walk.commands, settings)


def carry_out(walk: Walk, errands: list[tuple[str, ...]]) -> None:
    """Always do what is nearest: take, open or close something, or put where it belongs what is in the hands."""

    def distance(errand: tuple[str, ...]) -> int:
        _, thing, *goal = errand
        place = walk.places.get(thing, thing)
        place = goal[0] if place == "I" else place
        return len(walk.route(walk.rooms.get(place, place)))

    left = list(errands)
    while left:
        verb, thing, *goal = errand = min(left, key=distance)
        if verb == "put" and walk.places[thing] != "I":
            walk.take(thing)
        else:
            getattr(walk, verb)(thing, *goal)
            left.remove(errand)
