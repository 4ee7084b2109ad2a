"""Cooking: read the recipe, find its ingredients, cut and cook each as it says, prepare the meal and eat it.

Description:  A house with a kitchen, where a cookbook lies. Ingredients lie where one would look for them, among other
              food. Stove, oven and BBQ (it stands in the backyard) fry, roast and grill; a knife slices, dices and
              chops. The meal is prepared in the kitchen, with every ingredient in the hands as the recipe wants it.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what is
              admissible. All as in Text/World-v0.
Action:       A command of the game, as in Text/World-v0.
Reward:       score: 1 for each ingredient taken that is not in the hands at the start, 1 for each cut and each cooked
              as the recipe says, 1 for the prepared meal, 1 for eating it. win, lose: 1 at the end. turn: 1 for each
              command that takes a turn. invalid: 1 for what is not admissible (the last four with weight 0).
Termination:  The meal is eaten (won), or an ingredient is burned, cooked or cut in another way than the recipe's, or
              eaten, or the meal is burned (lost).
Truncation:   After max_steps commands (100), as in Text/World-v0.
Arguments:    recipe (int, 1): ingredients of the recipe, 1 to 5. take (int, 1): how many of them must be found, 0 to
              recipe; the others are in the hands. cook (bool, False), cut (bool, False): each ingredient must be
              cooked, cut; without it, they are found in the state that the recipe asks for. open (bool, False): doors
              and containers are closed at the start. drop (bool, False): the hands hold as many things as the recipe
              has ingredients, two if it has one that must be cut. go (int, 1): rooms, 1, 6, 9 (with a yard) or 12 (with
              a supermarket). preset (str, ""): one of the settings below, and then no other of these arguments.
              pool, observation, action, mask, shows, facts, window, max_steps: as in Text/World-v0.
Presets:      "ftwp-hardest": recipe 3, take 3, cook, cut, open, drop, go 12. "gata-difficulty-1" to "-10", the games
              published with Adhikari et al. (2020), all with open, and with take = recipe: 1: recipe 1, go 1; 2: the
              same with cook; 3: with cut; 4: with go 6; 5: go 9; 6: go 12; 7: with cook and cut; 8: recipe 3, go 6; 9:
              recipe 3, go 6, cook, cut; 10: recipe 3, go 12, cook, cut. "gata-1" to "gata-4", the levels in their
              paper: 3, 7, 5 and 9 of these, with 4, 5, 3 and 11 points; "gata-5": one of the four, drawn for each game.
Source:       TextWorld 1.7.0 (Cote et al., 2018), challenges/tw_cooking, the games of the competition First TextWorld
              Problems (Cote, 2019); Adhikari et al. (2020), "Learning Dynamic Knowledge Graphs to Generalize on
              Text-Based Games". Rules and parameters are theirs; houses, foods and words are not, and all foods are in
              one set, without a split for training and test.

    You stand in the kitchen. You see a closed fridge. There is a counter here. On the counter you see a cookbook and a
    knife.
    > examine cookbook
    You open the cookbook where a ribbon lies between the pages. Ingredients: turkey breast. Directions: dice the turkey
    breast; fry the turkey breast; prepare meal.
    > open fridge
    You open the fridge, revealing a fried turkey breast, a raw duck breast and a raw salmon fillet.
    > take turkey breast from fridge
    You take the turkey breast from the fridge. Your score has just gone up by one point.
    > take knife from counter
    You take the knife from the counter.
    > dice turkey breast with knife
    You dice the turkey breast. Your score has just gone up by one point.
    > prepare meal
    Adding the meal to your inventory. Your score has just gone up by one point.
"""

from typing import Any

import numpy as np

from llm_envs.text.authoring import kitchen
from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.kitchen import available, build_house
from llm_envs.text.authoring.recipes import cook_meal, draw_preparation
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Game
from llm_envs.validation import check_choice, check_range, check_switch

ROOMS = {
    1: (("kitchen",),),
    6: (kitchen.HOUSE,),
    9: (kitchen.HOUSE, kitchen.YARD),
    12: (kitchen.HOUSE, kitchen.YARD, kitchen.TOWN),
}
MOST_OTHERS = 6
OBJECTIVE = (
    "You are hungry. The cookbook in the kitchen has a recipe: find what it needs, do as it says, prepare the meal and "
    "eat it."
)
DEFAULTS = {"recipe": 1, "take": 1, "cook": False, "cut": False, "open": False, "drop": False, "go": 1}
DIFFICULTIES: tuple[dict[str, Any], ...] = (
    {},
    {"cook": True},
    {"cut": True},
    {"go": 6},
    {"go": 9},
    {"go": 12},
    {"cook": True, "cut": True},
    {"recipe": 3, "take": 3, "go": 6},
    {"recipe": 3, "take": 3, "go": 6, "cook": True, "cut": True},
    {"recipe": 3, "take": 3, "go": 12, "cook": True, "cut": True},
)
GATA = tuple({"open": True, **DIFFICULTIES[k - 1]} for k in (3, 7, 5, 9))
PRESETS: dict[str, tuple[dict[str, Any], ...]] = {  # one of these, drawn for each game
    "ftwp-hardest": ({"recipe": 3, "take": 3, "cook": True, "cut": True, "open": True, "drop": True, "go": 12},),
    **{f"gata-{k}": (settings,) for k, settings in enumerate(GATA, 1)},
    "gata-5": GATA,
    **{f"gata-difficulty-{k}": ({"open": True, **settings},) for k, settings in enumerate(DIFFICULTIES, 1)},
}


@text_game(pool=100, max_steps=100)
def cooking(
    seed: int,
    recipe: int = 1,
    take: int = 1,
    cook: bool = False,
    cut: bool = False,
    open: bool = False,
    drop: bool = False,
    go: int = 1,
    preset: str = "",
) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "recipe": recipe, "take": take, "cook": cook, "cut": cut, "open": open, "drop": drop, "go": go
    }  # fmt: skip
    settings = choose_settings(given, preset, rng)
    count, cook, cut = settings["recipe"], settings["cook"], settings["cut"]
    maker = Maker("cooking", "cooking-drop" if settings["drop"] else "cooking", rng)
    state = "closed" if settings["open"] else "open"
    ids = build_house(maker, ROOMS[settings["go"]], state, state)
    maker.start(ids[maker.pick([name for room_group in ROOMS[settings["go"]] for name in room_group])])
    fitting = [
        food
        for food in kitchen.FOODS
        if available(food, ids) and food.can_be_cooked >= cook and food.can_be_cut >= cut  # False < True
    ]
    ingredients = [
        draw_preparation(
            maker, food, "I" if k >= settings["take"] else maker.pick(available(food, ids)), ids, cook, cut
        )
        for k, food in enumerate(maker.draw(fitting, count))
    ]
    others = min(MOST_OTHERS, abs(int(3 * rng.standard_normal() + count)))
    # Cutting takes two: the food and the knife.
    slots = max(count, 2 if cut else 1) if settings["drop"] else 0
    # A knife that is not needed is a distraction.
    knife = cut or rng.random() < 0.5
    walkthrough = cook_meal(maker, ids, ingredients, others, knife, cook, cut, slots)
    return maker.game(OBJECTIVE, walkthrough, {**settings, "preset": preset})


def choose_settings(given: dict[str, Any], preset: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return what is given, checked, or else what the preset stands for."""
    check_choice("preset", preset, ("", *PRESETS))
    for name in ("cook", "cut", "open", "drop"):
        check_switch(name, given[name])
    if preset:
        # A default cannot be told from an argument left out, so it may be given beside a preset.
        further = [name for name, value in given.items() if value != DEFAULTS[name]]
        if further:
            raise ValueError(f"preset {preset!r} sets {', '.join(further)} itself; give a preset or these, not both")
        choices = PRESETS[preset]
        return {**DEFAULTS, **choices[int(rng.integers(len(choices)))]}
    check_range("recipe", given["recipe"], 1, 5)
    check_range("take", given["take"], 0, given["recipe"])
    check_range("go", given["go"], 1, 12)
    check_choice("go", given["go"], tuple(ROOMS))
    return given
