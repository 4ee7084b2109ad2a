"""Sorting: put amounts in mixed units into the box, the smallest first.

Description:  One room with a box; on the floor lie amounts of one kind (mass, length or volume), some in a small unit
              and some in a large one: "sack of 300 g of salt", "sack of 2 kg of sand". They go into the box in
              increasing order. Whoever puts one in while a smaller one is not in the box loses: smaller ones that were
              taken out again count as not in the box.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: take, drop, insert, open, close, examine, look, inventory.
Reward:       score: 1 for each amount put in in its turn, once. win: 1 when the game is won. lose: 1 when it is lost.
              turn, invalid: as in Text/World-v0. All but score weigh 0 unless asked for.
Termination:  All amounts are in the box, or one was put in too early.
Truncation:   After max_steps commands (50). Taking and inserting takes 2 things.
Arguments:    things (int, 4): amounts, 2 to 8. pool, observation, action, mask, shows, facts, window, max_steps: as in
              Text/World-v0.
Levels:       Large units: 1 to 9. Small ones: 1 to 99 tenths of the large unit, but no whole ones, so that no two
              amounts are equal. At least one of each.
Source:       After Sorting of TextWorldExpress (Jansen & Cote, 2023).

    -= Workshop =-
    You stand in the workshop. You notice an open box. The box is empty.
    There is a roll of 2 m of wire and a roll of 90 cm of lace on the floor.
    > take roll of 90 cm of lace
    You pick up the roll of 90 cm of lace from the ground.
    > insert roll of 90 cm of lace into box
    You put the roll of 90 cm of lace into the box. Your score has just gone up by one point.
    > take roll of 2 m of wire
    You pick up the roll of 2 m of wire from the ground.
    > insert roll of 2 m of wire into box
    You put the roll of 2 m of wire into the box. Your score has just gone up by one point. *** The End ***
"""

from collections.abc import Sequence

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game, place_fact
from llm_envs.validation import check_range

MEASURES = (  # what it comes in, small unit, large unit, small ones in a large one, what there is of it
    ("sack", "g", "kg", 1000, ("sand", "salt", "flour", "rice", "sugar", "gravel", "oats", "lentils")),
    ("roll", "cm", "m", 100, ("ribbon", "string", "wire", "tape", "rope", "lace", "cable", "yarn")),
    ("jug", "ml", "l", 1000, ("milk", "oil", "water", "juice", "vinegar", "syrup", "broth", "cider")),
)
ROOMS = ("workshop", "storeroom", "warehouse", "market hall", "cellar", "shop")


@text_game(pool=100, max_steps=50)
def sorting(seed: int, things: int = 4) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("things", things, 2, 8)
    maker = Maker("sorting", "base", np.random.default_rng(seed))
    room = maker.room(maker.pick(ROOMS))
    maker.start(room)
    box = maker.fix("c", "box", room, "open")
    sizes = {maker.put("o", label, room): size for label, size in amounts(maker, things)}
    order = sorted(sizes, key=sizes.__getitem__)
    in_order(maker, order, box, room)
    names = [maker.things[thing].name for thing in order]
    return maker.game(
        "Put all that lies here into the box: the smallest amount first, then the next larger one, up to the largest.",
        [command for name in names for command in (f"take {name}", f"insert {name} into box")],
        {"things": things},
    )


def amounts(maker: Maker, count: int) -> list[tuple[str, int]]:
    """Draw `count` different amounts of one measure, in drawn order: a name, and its size in small units."""
    holder, small, large, ratio, stuff = maker.pick(MEASURES)
    # At least one of either unit: the numbers alone would not give the order.
    many = int(maker.rng.integers(1, count))  # in the large unit
    sizes = [ratio * k for k in maker.draw(range(1, 10), many)]
    # Tenths of the large unit that are no whole ones: no amount equals another.
    sizes += [ratio // 10 * k for k in maker.draw([k for k in range(1, 100) if k % 10], count - many)]
    kinds = maker.draw(stuff, count)
    labels = [f"{size} {small}" if size % ratio else f"{size // ratio} {large}" for size in sizes]
    names = [f"{holder} of {label} of {kind}" for label, kind in zip(labels, kinds, strict=True)]
    return maker.draw(list(zip(names, sizes, strict=True)))


def in_order(maker: Maker, things: Sequence[str], goal: str, room: str) -> None:
    """Add quests for bringing things from the floor to `goal`, in this order; an earlier one elsewhere loses.

    Conditions cannot say "not", so the fail events name the only other places: the room's floor and the hands.
    """
    for k, thing in enumerate(things):
        there = place_fact(thing, goal)
        elsewhere = [place_fact(earlier, place) for earlier in things[:k] for place in (room, "I")]
        maker.quest(there, fail=[[there, missing] for missing in elsewhere])
