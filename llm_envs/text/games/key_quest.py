"""Key quest: a chain of locked doors and chests, each with the key to the next; the prize is behind the last.

Description:  A house of some rooms. The first key lies in the open part of it; behind each lock, in the chest or in the
              rooms beyond the door, lies the key to the next one, and behind the last the prize. A key is of the metal
              of its lock.
Observation:  tokens: the transcript, padded on the right with <pad> (0). length: how many they are. token_mask: 1 for
              the words of commands. action_mask: 1 for what is admissible now. See Text/World-v0.
Action:       A command; see Text/World-v0.
Reward:       score: points gained, 1 for taking the prize. Weight 0 unless asked for: win: 1 on winning; lose: 0 here;
              turn: 1 every turn; invalid: 1 for a command that is refused.
Termination:  The prize is taken.
Truncation:   After max_steps commands (100), as in Text/World-v0; ten locks in twenty rooms can need more.
Arguments:    locks (int, 2): how many, 1 to 10; rooms (int, 6): how many, 1 to 20. pool, observation, action, mask,
              shows, facts, window, max_steps: as in Text/World-v0.
Levels:       The rooms form a random tree with the start at its root. Each lock is a door or a chest with equal chance,
              but no more than rooms - 1 are doors; three rooms in four have a closed container or a supporter too.
Source:       Ours; the rules are TextWorld's (Cote et al., 2018).

    A candle is locked away in this house, and each lock has its key. Find the candle and take it.
    -= Bathroom =- You stand in the bathroom. There is a locked brass coffer here. To the south is a locked silver door.
    There is a brass key on the floor.
    > take brass key
    You pick up the brass key from the ground.
    > unlock brass coffer with brass key
    You unlock the brass coffer.
    > open brass coffer
    You open the brass coffer, revealing a silver key.
    > take silver key from brass coffer
    You take the silver key from the brass coffer.
    > unlock silver door with silver key
    You unlock silver door.
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker, with_article
from llm_envs.text.authoring.floor_plans import floor_plan
from llm_envs.text.authoring.names import OBJECTS, ROOMS, furnish, lock_names
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_range


@text_game(pool=100, max_steps=100)
def key_quest(seed: int, locks: int = 2, rooms: int = 6) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("locks", locks, 1, 10)
    check_range("rooms", rooms, 1, 20)
    maker = Maker("key quest", "base", np.random.default_rng(seed))
    ids = [maker.room(name) for name in maker.draw(tuple(ROOMS), rooms)]
    kinds = [maker.pick(("door", "chest")) for _ in range(locks)]
    # A tree of rooms has rooms - 1 passages.
    while kinds.count("door") > rooms - 1:
        kinds[kinds.index("door")] = "chest"
    names = lock_names(maker, kinds)
    door_names = [name for (name, _), kind in zip(names, kinds, strict=True) if kind == "door"]
    # Sorted, since passage k - 1 leads to room k: doors come in the order in which they are opened.
    behind = sorted(maker.draw(range(1, rooms), len(door_names)))  # the rooms that doors lead to

    part = [0] * rooms  # for each room, the number of the last locked door on the way to it
    doors: list[str] = []
    for near, way, k in floor_plan(maker, rooms):
        part[k] = part[near]
        if k in behind:
            part[k] = len(doors) + 1
            doors.append(maker.connect(ids[near], way, ids[k], door_names[len(doors)], "locked"))
        else:
            maker.connect(ids[near], way, ids[k])
    spots = [[room] for room in ids]  # for each room, where things may lie in it
    for k, room in enumerate(ids):
        if maker.rng.random() < 0.75:
            spots[k].append(furnish(maker, room, maker.pick(("c", "s")), "closed"))

    # Each lock hides the next key, so the locks must be opened in this order.
    place, opened = maker.pick(within(spots, part, 0)), 0
    for kind, (name, key) in zip(kinds, names, strict=True):
        key_id = maker.put("k", key, place)
        if kind == "door":
            opened += 1
            lock, place = doors[opened - 1], maker.pick(within(spots, part, opened))
        else:
            # A chest stands anywhere behind the doors opened so far.
            reached = [room for room, needed in zip(ids, part, strict=True) if needed <= opened]
            lock = place = maker.fix("c", name, maker.pick(reached), "locked")
        maker.say("match", key_id, lock)
    wanted = maker.pick(OBJECTS)
    prize = maker.put("o", wanted, place)
    maker.quest(("in", prize, "I"))
    maker.start(ids[0])
    walk = Walk(maker.things, maker.facts)
    walk.take(prize)
    objective = f"{with_article(wanted).capitalize()} is locked away in this house, and each lock has its key. "
    objective += f"Find the {wanted} and take it."
    return maker.game(objective, walk.commands, {"locks": locks, "rooms": rooms})


def within(spots: list[list[str]], part: list[int], number: int) -> list[str]:
    """Return the spots of the rooms of one part of the house."""
    return [spot for group, own in zip(spots, part, strict=True) if own == number for spot in group]
