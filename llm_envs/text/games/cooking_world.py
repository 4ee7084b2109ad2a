"""Cooking world: a small house, a recipe, ingredients in several of its rooms; prepare the meal and eat it.

Description:  As Text/Cooking-v0, in a house of few rooms that grows around the kitchen. The recipe asks for some
              ingredients to be cut and for some to be fried, roasted or grilled (where there is a backyard, with its
              BBQ). Ingredients are spread over the rooms where food is kept; as many other foods lie about, and
              one that looks like each ingredient. Containers are closed at the start, and hands hold any number of
              things.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what is
              admissible. All as in Text/World-v0.
Action:       A command of the game, as in Text/World-v0.
Reward:       score: 1 for each ingredient taken, for each cut and each cooked as the recipe says, 1 for the prepared
              meal, 1 for eating it. win, lose: 1 at the end. turn: 1 for each command that takes a turn. invalid: 1 for
              what is not admissible (the last four with weight 0).
Termination:  The meal is eaten (won), or an ingredient is burned, cooked or cut in another way than the recipe's, or
              eaten, or the meal is burned (lost).
Truncation:   After max_steps commands (100), as in Text/World-v0.
Arguments:    ingredients (int, 2): of the recipe, 1 to 5. rooms (int, 3): 1 to 12. doors (bool, True): there are doors
              between some rooms, closed at the start; without them all ways are free.
              pool, observation, action, mask, shows, facts, window, max_steps: as in Text/World-v0.
Source:       After CookingWorld in TextWorldExpress (Jansen & Cote, 2022, "TextWorldExpress: Simulating Text Games at
              One Million Steps Per Second"). The rules here are those of TextWorld's cooking challenge; house, foods
              and words are ours.

    > examine cookbook
    You open the cookbook where a ribbon lies between the pages. Ingredients: banana, green apple. Directions: dice the
    banana; roast the banana; chop the green apple; grill the green apple; prepare meal.
    > go south
    You have come to the livingroom. There is a sideboard here. On the sideboard you see a green apple and a red apple.
    > take green apple from sideboard
    You take the green apple from the sideboard. Your score has just gone up by one point.
    > go north
    You stand in the kitchen. You see a closed oven. You notice a stove. To the north is a closed patio door.
    > open patio door
    You open patio door.
    > cook banana with oven
    You roasted the banana. Your score has just gone up by one point.
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.kitchen import FOODS, JOINED, available, build_house
from llm_envs.text.authoring.recipes import Ingredient, cook_meal, draw_preparation
from llm_envs.text.games.cooking import OBJECTIVE
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_range, check_switch

LARDERS = ("pantry", "livingroom")  # one of them is the second room, so that food is in two rooms


@text_game(pool=100, max_steps=100)
def cooking_world(seed: int, ingredients: int = 2, rooms: int = 3, doors: bool = True) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("ingredients", ingredients, 1, 5)
    check_range("rooms", rooms, 1, 12)
    check_switch("doors", doors)
    maker = Maker("cooking world", "cooking", np.random.default_rng(seed))
    names = draw_rooms(maker, rooms)
    ids = build_house(maker, (names[:1], names[1:]), "closed" if doors else "", "closed")
    maker.start(ids[maker.pick(names)])
    walkthrough = cook_meal(maker, ids, draw_ingredients(maker, ids, ingredients), ingredients, knife=True, cook=True,
                            cut=True, slots=0)  # fmt: skip
    return maker.game(OBJECTIVE, walkthrough, {"ingredients": ingredients, "rooms": rooms, "doors": doors})


def draw_rooms(maker: Maker, count: int) -> list[str]:
    """Draw the names of connected rooms, the kitchen first."""
    names = ["kitchen"]
    if count > 1:
        names.append(maker.pick(LARDERS))
    while len(names) < count:
        beside = {room for pair in JOINED for room in pair if len(pair.difference(names)) == 1}
        names.append(maker.pick(sorted(beside.difference(names))))
    return names


def draw_ingredients(maker: Maker, ids: dict[str, str], count: int) -> list[Ingredient]:
    """Draw the ingredients of a recipe, from one room after the other, so that no room has them all."""
    rooms = {piece: room for room, pieces in maker.places.items() for piece in pieces}
    choices: dict[str, list[tuple[int, str]]] = {}  # room -> foods, as numbers, and their places in it
    for number, food in enumerate(FOODS):
        for place in available(food, ids):
            choices.setdefault(rooms.get(place, place), []).append((number, place))
    # Rooms in drawn order, in turn; the numbers of foods keep one from being chosen twice.
    order = maker.draw(list(choices))
    chosen: dict[int, Ingredient] = {}
    for k in range(count):
        free = [choice for choice in choices[order[k % len(order)]] if choice[0] not in chosen]
        number, place = maker.pick(free)
        chosen[number] = draw_preparation(maker, FOODS[number], place, ids, cook=False, cut=False)
    return list(chosen.values())
