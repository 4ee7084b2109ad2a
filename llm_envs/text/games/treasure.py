"""Treasure: find the thing that is asked for and take it, but not the other thing. After TextWorld's treasure hunter.

Description:  A house of some rooms holds a treasure and a decoy; the objective names both. At levels 1 to 10 they lie
              on floors. At 11 to 20 there are doors and containers, all closed, and the treasure lies in one of these.
              At 21 to 30 one to four of them, on the way to the treasure, are locked, and their keys lie about.
Observation:  tokens: the transcript, padded on the right with <pad> (0). length: how many they are. token_mask: 1 for
              the words of commands. action_mask: 1 for what is admissible now. See Text/World-v0.
Action:       A command; see Text/World-v0.
Reward:       score: points gained, 1 for taking the treasure. Weight 0 unless asked for: win: 1 on winning; lose: 1 on
              taking the decoy; turn: 1 every turn; invalid: 1 for a command that is refused.
Termination:  The treasure or the decoy is taken.
Truncation:   After max_steps commands (100), as in Text/World-v0.
Arguments:    level (int, 5): 1 to 30. pool, observation, action, mask, shows, facts, window, max_steps: as in
              Text/World-v0.
Levels:       Rooms: level + 1 up to 10, then level - 5, then level - 11, so 2 to 11, 6 to 15 and 10 to 19. They form a
              random tree; up to level 20 a few more passages join neighbours. The start is its root and the treasure
              lies in a room farthest from it in the tree, the decoy anywhere. Half of the passages have doors and three
              rooms in four a container or a supporter. The locks at level n are those of the treasure's container and
              of (n - 21) // 3 doors on the way to it; a key is always on the near side of its lock.
Source:       TextWorld 1.7.0 (Cote et al., 2018), challenges/tw_treasure_hunter; after Parisotto and Salakhutdinov
              (2017), "Neural Map". There the rooms are 5, 10 or 20 and the level sets the number of commands.

    Somewhere in this house is a brooch. Find it and take it, but do not take the flashlight.
    -= Attic =- You stand in the attic. An exit leads south. To the east is a closed sliding gate.
    > open sliding gate
    You open sliding gate.
    > go east
    -= Living Room =- You have come to the living room. You see a sofa. To the south is a closed swing gate. You can go
    east. To the west is an open sliding gate.
    > go east
    -= Porch =- You have come to the porch. There is a closed letterbox here. You can go south. An exit leads west.
    > go south
    -= Drawing Room =- You stand in the drawing room. You notice a closed writing bureau. An exit leads north.
    > open writing bureau
    You open the writing bureau, revealing a brooch.
    > take brooch from writing bureau
    You take the brooch from the writing bureau. Your score has just gone up by one point. *** The End ***
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker, with_article
from llm_envs.text.authoring.floor_plans import floor_plan
from llm_envs.text.authoring.names import DOORS, OBJECTS, ROOMS, furnish, lock_names
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_range


@text_game(pool=100, max_steps=100)
def treasure(seed: int, level: int = 5) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("level", level, 1, 30)
    maker = Maker("treasure", "base", np.random.default_rng(seed))
    band = (level - 1) // 10  # 0: rooms only, 1: doors and containers, 2: locks
    rooms = [maker.room(name) for name in maker.draw(tuple(ROOMS), level + 1 - 6 * band)]
    plan = floor_plan(maker, len(rooms), extra=0.0 if band == 2 else 0.1)
    ways = ways_from_root(plan, len(rooms))
    deepest = max(map(len, ways))
    # As far from the start as the plan allows.
    goal = maker.pick([k for k, way in enumerate(ways) if len(way) == deepest])

    # All on the way to the prize: every lock has to be opened.
    locked = sorted(maker.draw(ways[goal], (level - 21) // 3)) if band == 2 else []
    names = lock_names(maker, ["door"] * len(locked) + ["chest"] * int(band == 2))
    locks: list[tuple[str, int, str]] = []  # the locked door or container, the room behind it or -1, its key's name
    other_doors = iter(maker.draw(DOORS, len(plan)))
    for k, (here, way, there) in enumerate(plan, 1):
        if k in locked:
            name, key = names[len(locks)]
            locks.append((maker.connect(rooms[here], way, rooms[there], name, "locked"), k, key))
        else:
            name = next(other_doors) if band and maker.rng.random() < 0.5 else ""
            maker.connect(rooms[here], way, rooms[there], name, "closed")

    spots = [[room] for room in rooms]  # for each room, where things may lie in it
    for k, room in enumerate(rooms):
        if band and k != goal and maker.rng.random() < 0.75:
            spots[k].append(furnish(maker, room, maker.pick(("c", "s")), "closed"))
    place = rooms[goal]
    if band == 1:
        place = furnish(maker, place, "c", "closed")
    elif band == 2:
        name, key = names[-1]
        place = maker.fix("c", name, place, "locked")
        locks.append((place, -1, key))
    for lock, behind, key in locks:
        # Never behind its own lock; -1, the chest, has no room behind it.
        near = [spot for k, group in enumerate(spots) if behind not in ways[k] for spot in group]
        maker.say("match", maker.put("k", key, maker.pick(near)), lock)

    wanted, decoy = maker.draw(OBJECTS, 2)
    prize = maker.put("o", wanted, place)
    trap = maker.put("o", decoy, maker.pick([spot for group in spots for spot in group]))
    maker.quest(("in", prize, "I"), fail=[[("in", trap, "I")]])
    maker.start(rooms[0])
    walk = Walk(maker.things, maker.facts)
    walk.take(prize)
    objective = f"Somewhere in this house is {with_article(wanted)}. Find it and take it, but do not take the {decoy}."
    return maker.game(objective, walk.commands, {"level": level})


def ways_from_root(plan: list[tuple[int, str, int]], count: int) -> list[list[int]]:
    """Return, for each room, the rooms on the way to it from room 0, which is left out, in a floor plan's tree."""
    ways: list[list[int]] = [[]]
    for near, _, room in plan[: count - 1]:
        ways.append([*ways[near], room])
    return ways
