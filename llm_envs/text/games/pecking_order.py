"""PeckingOrder: find out the order of the birds from notes on pairs of them, and put them onto the table in it.

Description:  One room with a table; wooden birds lie on the floor. Each note in the hands says of two birds which goes
              before the other. Together the notes leave one order; the birds go onto the table in it. Whoever puts one
              there while an earlier one is not on the table loses: birds that were taken away again are not there.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: take, drop, put, examine, look, inventory.
Reward:       score: 1 for each bird put onto the table in its turn, once. win: 1 when the game is won. lose: 1 when it
              is lost. turn, invalid: as in Text/World-v0. All but score weigh 0 unless asked for.
Termination:  All birds are on the table, or one was put there too early.
Truncation:   After max_steps commands (50). Reading all notes and placing all birds takes 3 things - 1.
Arguments:    things (int, 4): birds, 2 to 8; there is one note less. pool, observation, action, mask, shows, facts,
              window, max_steps: as in Text/World-v0.
Levels:       Order, notes and the direction in which each is worded ("before", "after") are drawn. The notes are on
              the pairs that follow upon each other: the fewest that leave one order.
Source:       After the game of this name in TextWorldExpress (Jansen & Cote, 2023) as TALES plays it (Cui et al.,
              2025); what is inferred here is an order from pairs.

    > examine red note
    The red note says: The duck goes after the hen.
    > examine blue note
    The blue note says: The duck goes before the swan.
    > take hen
    You pick up the hen from the ground.
    > put hen on table
    You put the hen on the table. Your score has just gone up by one point.
    > take swan
    You pick up the swan from the ground.
    > put swan on table
    You put the swan on the table. *** You lost! ***
"""

from itertools import pairwise

import numpy as np

from llm_envs.text.authoring.builder import Maker, with_article
from llm_envs.text.games.sorting import in_order
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_range

BIRDS = ("hen", "duck", "goose", "swan", "heron", "crow", "owl", "finch", "wren", "stork", "raven", "turkey")
COLORS = ("red", "blue", "green", "yellow", "white", "brown", "pink", "grey")
ROOMS = ("barn", "aviary", "farmyard", "henhouse", "dovecote", "toy room")


@text_game(pool=100, max_steps=50)
def pecking_order(seed: int, things: int = 4) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("things", things, 2, 8)
    maker = Maker("pecking_order", "base", np.random.default_rng(seed))
    order = maker.draw(BIRDS, things)
    room = maker.room(maker.pick(ROOMS))
    maker.start(room)
    table = maker.fix("s", "table", room)
    # In drawn order: the list on the floor must not be the answer.
    birds = {}
    for bird in maker.draw(order):
        birds[bird] = maker.put("o", bird, room, f"{with_article(bird).capitalize()}, carved from wood.")
    notes = [f"{color} note" for color in maker.draw(COLORS, things - 1)]
    for note, (one, next_one) in zip(notes, maker.draw(list(pairwise(order))), strict=True):
        # Both wordings, so that the order of names in a note tells nothing.
        words = [f"The {one} goes before the {next_one}.", f"The {next_one} goes after the {one}."]
        maker.put("o", note, "I", f"The {note} says: {maker.pick(words)}")
    in_order(maker, [birds[bird] for bird in order], table, room)
    placing = [command for bird in order for command in (f"take {bird}", f"put {bird} on table")]
    return maker.game(
        "Put the birds onto the table, one after the other, in the order that follows from your notes.",
        [*(f"examine {note}" for note in notes), *placing],
        {"things": things},
    )
