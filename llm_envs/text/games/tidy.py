"""Tidy: put things where they belong. Where that is, common sense must say, for the game does not.

Description:  A home of one to four rooms. Some things lie about: on the floor, in or on furniture where they do not
              belong, or in the player's hands. A fork that is dirty belongs in the dishwasher, a clean one in the
              cutlery drawer. Half of what can be closed is closed at the start; no thing is hidden in it.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what is
              admissible. All as in Text/World-v0.
Action:       A command of the game, as in Text/World-v0.
Reward:       score: 1 for each thing that comes to a place where it belongs; some belong in either of two, and what is
              taken away again costs nothing. win: 1 at the end; lose: never. turn: 1 for each command that takes a
              turn. invalid: 1 for what is not admissible (the last four with weight 0).
Termination:  Every thing has been where it belongs.
Truncation:   After max_steps commands (50), as in Text/World-v0.
Arguments:    level (str, "easy"): "easy", one room and one thing; "medium", one room and 2 or 3 things; "hard", 1 or 2
              rooms and 6 or 7 things; "house", 3 or 4 rooms and 6 or 7 things.
              pool, observation, action, mask, shows, facts, window, max_steps: as in Text/World-v0.
Source:       After TextWorld Commonsense (Murugesan et al., 2021, "Text-based RL Agents with Commonsense Knowledge: New
              Challenges, Environments and Baselines"), whose games have the sizes of the first three levels; "house" is
              ours. So are the table of things and places, 95 and 29 of them in 6 rooms, and all words.

    You are in the bedroom. You notice a bed. On the bed you see a bible. You see a closed wardrobe. There is a
    nightstand here. On the nightstand you see a silk tie.
    > take silk tie from nightstand
    You take the silk tie from the nightstand.
    > open wardrobe
    You open the wardrobe.
    > insert silk tie into wardrobe
    You put the silk tie into the wardrobe. Your score has just gone up by one point.
    > take bible from bed
    You take the bible from the bed.
    > put bible on nightstand
    You put the bible on the nightstand. Your score has just gone up by one point. *** The End ***
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.floor_plans import lay_out
from llm_envs.text.authoring.tidy_names import OBJECTS, ROOMS, SOME
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game, Quest, place_fact
from llm_envs.validation import check_choice

LEVELS = {  # fewest and most rooms, fewest and most things
    "easy": ((1, 1), (1, 1)),
    "medium": ((1, 1), (2, 3)),
    "hard": ((1, 2), (6, 7)),
    "house": ((3, 4), (6, 7)),
}
MOST_PIECES = 16  # of furniture
HELD, FLOOR = 0.15, 0.25  # chances of a thing to be in the hands, on the floor
LOOKS = ("The [noun] should be put away.", "What is the [noun] doing here?", "There is a place for the [noun].")


@text_game(pool=100, max_steps=50)
def tidy(seed: int, level: str = "easy") -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_choice("level", level, tuple(LEVELS))
    maker = Maker("tidy", "base", np.random.default_rng(seed))
    room_count, thing_count = (int(maker.rng.integers(low, high + 1)) for low, high in LEVELS[level])
    pieces = furnish(maker, room_count)
    rooms = list(maker.places)
    maker.start(maker.pick(rooms))
    # Things whose place this house has.
    names = [name for name, right in OBJECTS.items() if any(place in pieces for place in right)]
    goals = {}
    for name in maker.draw(names, thing_count):
        right = [pieces[place] for place in OBJECTS[name] if place in pieces]
        place = wrong_place(maker, [piece for place, piece in pieces.items() if place not in OBJECTS[name]], rooms)
        thing = maker.put("o", name, place, maker.pick(LOOKS), "some" if name in SOME else "")
        goals[thing] = right
        # Several win events, one for each place that will do; `maker.quest` takes one.
        maker.quests.append(Quest(tuple((place_fact(thing, piece),) for piece in right)))
    objective = "It is time to tidy up. Find the things that lie about, and put each where it belongs."
    return maker.game(objective, walk_through(maker, goals), {"level": level})


def furnish(maker: Maker, count: int) -> dict[str, str]:
    """Lay out rooms with their furniture, half of what can be closed being closed; return each piece's id by name."""
    names = maker.draw(list(ROOMS), count)
    pieces = {}
    for name, room in zip(names, lay_out(maker, names), strict=True):
        for kind, piece in maker.draw(ROOMS[name], MOST_PIECES // count):
            lock = maker.pick(("open", "closed")) if kind == "c" else ""
            pieces[piece] = maker.fix(kind, piece, room, lock)
    return pieces


def wrong_place(maker: Maker, pieces: list[str], rooms: list[str]) -> str:
    """Draw a place that is in sight: the hands, a floor, or one of these pieces of furniture that is not closed."""
    in_sight = [piece for piece in pieces if ("closed", piece) not in maker.facts]
    draw = maker.rng.random()
    if draw < HELD:
        return "I"
    return maker.pick(rooms if draw < HELD + FLOOR or not in_sight else in_sight)


def walk_through(maker: Maker, goals: dict[str, list[str]]) -> list[str]:
    """Return the commands that win: always the nearest thing, to the nearest of its places."""
    walk = Walk(maker.things, maker.facts)
    left = list(goals)

    def distance(place: str) -> int:
        # What is in the hands comes first: it costs no steps.
        return -1 if place == "I" else walk.nearest_first().index(walk.rooms.get(place, place))

    while left:
        thing = min(left, key=lambda thing: distance(walk.places[thing]))
        left.remove(thing)
        walk.take(thing)
        walk.put(thing, min(goals[thing], key=distance))
    return walk.commands
