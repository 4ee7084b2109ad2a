"""Arithmetic: solve the problem on a note, and put the bag with that many things in it into the box.

Description:  One room. The hands hold a note with a problem; four bags lie on the floor, their names say how much is in
              them. The bag whose number is the answer goes into the box; any other one in the box loses.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: take, drop, insert, open, close, examine, look, inventory.
Reward:       score: 1 for the right bag. win: 1 when the game is won. lose: 1 when it is lost. turn, invalid: as in
              Text/World-v0. All but score weigh 0 unless asked for.
Termination:  A bag is in the box.
Truncation:   After max_steps commands (50). Reading, taking and inserting take 3.
Arguments:    digits (int, 1): most digits of either number, 1 to 4; operations (str, "+-*"): what problems are made of,
              any of the signs +, - and *. pool, observation, action, mask, shows, facts, window, max_steps: as in
              Text/World-v0.
Levels:       Both numbers uniform over 1 .. 10 ** digits - 1, exchanged or drawn again where a difference would not be
              positive; the sign uniform over `operations`. Wrong numbers are what one gets by another sign, by being
              off by 1, 2 or 10, and the two numbers themselves.
Source:       After Arithmetic of TextWorldExpress (Jansen & Cote, 2023). Here division is left out.

    > examine note
    The note asks: what is 7 times 8?
    > take bag of 56 plums
    You pick up the bag of 56 plums from the ground.
    > insert bag of 56 plums into box
    You put the bag of 56 plums into the box. Your score has just gone up by one point.
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_range, quote

SIGNS = {"+": "plus", "-": "minus", "*": "times"}
CHOICES = 4  # bags, one of them right
GOODS = ("apple", "pear", "plum", "onion", "carrot", "lemon", "melon", "turnip", "walnut", "fig", "olive", "almond")
ROOMS = ("counting room", "storeroom", "market hall", "larder", "cellar", "shop")


@text_game(pool=100, max_steps=50)
def arithmetic(seed: int, digits: int = 1, operations: str = "+-*") -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("digits", digits, 1, 4)
    if not isinstance(operations, str):
        raise TypeError(f"operations must be a string of the signs +, - and *, not {quote(operations)}")
    if not operations or len(set(operations)) < len(operations) or set(operations) - set(SIGNS):
        raise ValueError(
            f"operations is {quote(operations)}; it must be one or more of the signs +, - and *, each once"
        )
    maker = Maker("arithmetic", "base", np.random.default_rng(seed))
    a, b, sign = problem(maker, digits, operations)
    right = solve(a, b, sign)
    # Choice 0 is the right one; the order on the floor is drawn below.
    numbers = [right, *wrong_answers(maker, a, b, right)]
    goods = maker.draw(GOODS)

    room = maker.room(maker.pick(ROOMS))
    maker.start(room)
    box = maker.fix("c", "box", room, "open")
    bags = {}
    for i in maker.draw(range(CHOICES)):
        label = f"bag of {numbers[i]} {goods[i]}{'s' if numbers[i] > 1 else ''}"
        bags[i] = maker.put("o", label, room, f"A bag. Its label says: {numbers[i]}.")
    maker.put("o", "note", "I", f"The note asks: what is {a} {SIGNS[sign]} {b}?")
    maker.quest(("in", bags[0], box), fail=[[("in", bags[i], box)] for i in range(1, CHOICES)])
    name = maker.things[bags[0]].name
    return maker.game(
        "The note in your hands asks for a number. Put the bag of that many things into the box, and no other bag.",
        ["examine note", f"take {name}", f"insert {name} into box"],
        {"digits": digits, "operations": operations},
    )


def problem(maker: Maker, digits: int, operations: str) -> tuple[int, int, str]:
    """Draw two numbers and a sign; the answer is positive."""
    sign = maker.pick(operations)
    a, b = maker.rng.integers(1, 10**digits, 2).tolist()
    # A bag of nothing could not be told from no bag.
    while sign == "-" and a == b:
        a, b = maker.rng.integers(1, 10**digits, 2).tolist()
    return (max(a, b), min(a, b), sign) if sign == "-" else (a, b, sign)


def solve(a: int, b: int, sign: str) -> int:
    """Return the answer."""
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def wrong_answers(maker: Maker, a: int, b: int, right: int) -> list[int]:
    """Draw positive numbers that are not the answer but might be taken for it."""
    # Errors that are made: another sign, one operand, slips of one, two and ten.
    near = [*(solve(a, b, sign) for sign in SIGNS), a, b, *(right + d for d in (-10, -2, -1, 1, 2, 10))]
    return maker.draw(sorted({number for number in near if number > 0} - {right}), CHOICES - 1)
