"""A recipe in a house: its ingredients and other food, the cookbook, what scores and loses, and the way to win.

Facts and quests are those of TextWorld's cooking challenge (Cote et al., 2018; textworld 1.7.0, challenges/tw_cooking).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.kitchen import FOODS, LOOKS, Food, available
from llm_envs.text.authoring.walkthrough import Walk

HEATS = {"fried": "fry", "roasted": "roast", "grilled": "grill"}  # and the verb of the cookbook
CUTS = {"sliced": "slice", "diced": "dice", "chopped": "chop"}
SOURCES = {"fried": "stove", "roasted": "oven", "grilled": "BBQ"}


class Ingredient(NamedTuple):
    """A food of the recipe, where it is at first, and how the recipe asks for it."""

    food: Food
    place: str  # an id; "I": in the hands
    heat: str  # raw, fried, roasted, grilled
    cut: str  # uncut, sliced, diced, chopped


def draw_preparation(maker: Maker, food: Food, place: str, ids: Mapping[str, str], cook: bool, cut: bool) -> Ingredient:
    """Draw how a recipe asks for a food; with `cook` and `cut` it must be cooked, cut, if it can be."""
    heats = [heat for heat in HEATS if food.can_be_cooked and SOURCES[heat] in ids]
    cuts = list(CUTS) if food.can_be_cut else []
    if not cook and "needs_cooking" not in food.traits:
        heats.append("raw")
    if not cut or not cuts:
        cuts.append("uncut")
    return Ingredient(food, place, maker.pick(heats), maker.pick(cuts))


def cook_meal(
    maker: Maker, ids: Mapping[str, str], ingredients: Sequence[Ingredient], others: int, knife: bool, cook: bool,
    cut: bool, slots: int,
) -> list[str]:  # fmt: skip
    """Put food, knife and cookbook into a house, state recipe and quests; return the commands that win.

    Args:
        maker: where the house is built, with the player in it.
        ids: of rooms and furniture, by name.
        ingredients: of the recipe.
        others: number of further foods, besides one that looks like each ingredient.
        knife: whether there is one.
        cook: False if ingredients are cooked as the recipe asks at the start.
        cut: the same for cutting.
        slots: how many things the hands hold; 0 for any number.
    """
    # By name: the cookbook lists them so, which tells nothing of where they are.
    ingredients = sorted(ingredients)
    found = put_foods(maker, ids, ingredients, others, cook, cut)
    foods = [found[one.food.name] for one in ingredients]
    for number, (food, one) in enumerate(zip(foods, ingredients, strict=True), 1):
        ingredient = maker.add("ingredient")
        maker.say(f"ingredient_{number}", food)
        maker.say("base", food, ingredient)
        maker.say(one.cut, ingredient)
        maker.say(one.heat, ingredient)
        maker.say("in", ingredient, "RECIPE")
    meal = maker.add("meal", "meal", "The [noun] is ready to be eaten.")
    maker.say("edible", meal)
    maker.say("out", meal, "RECIPE")
    maker.say("cooking_location", ids["kitchen"], "RECIPE")
    for k in range(slots):
        # What is in the hands at the start takes slots.
        maker.say("used" if k < sum(one.place == "I" for one in ingredients) else "free", maker.add("slot"))
    surfaces = [ids["table"], ids["counter"]]
    maker.put("o", "cookbook", maker.pick(surfaces), write_recipe(ingredients), synonyms=("recipe",))
    if knife:
        maker.put("o", "knife", maker.pick(surfaces), "The [noun] is sharp.", traits=("sharp",))
    add_quests(maker, foods, ingredients, meal, cook, cut)
    return walk_through(maker, ids, foods, ingredients, cook, cut, slots)


def put_foods(
    maker: Maker, ids: Mapping[str, str], ingredients: Sequence[Ingredient], others: int, cook: bool, cut: bool
) -> dict[str, str]:
    """Put the ingredients and other foods where they belong; return the id of each by its name."""
    traits = {one.food: traits_of(one, cook, cut) for one in ingredients}
    places = {one.food: one.place for one in ingredients}
    rest = [food for food in maker.draw(FOODS) if food not in places]
    for one in ingredients:  # something like it in the same place
        words = one.food.name.split()
        for food in rest if one.place != "I" else ():
            alike = food.name.split()[0] == words[0] or food.name.split()[-1] == words[-1]
            if alike and food not in places and one.place in available(food, ids):
                places[food] = one.place
                break
    for food in [food for food in rest if food not in places and available(food, ids)][:others]:
        places[food] = maker.pick(available(food, ids))
    return {
        food.name: maker.put("f", food.name, places[food], maker.pick(LOOKS), food.indefinite,
                             traits.get(food, food.traits))
        for food in maker.draw(list(places))  # lists must not tell the ingredients
    }  # fmt: skip


def traits_of(one: Ingredient, cook: bool, cut: bool) -> tuple[str, ...]:
    """Return the facts that hold of an ingredient at the start."""
    traits = one.food.traits
    if not cook and one.heat in HEATS:
        # What cooking adds and removes in the rules, done beforehand.
        traits = tuple(trait for trait in traits if trait not in ("raw", "needs_cooking", "inedible", "edible"))
        traits += ("edible", "cooked", one.heat)
    if not cut and one.cut in CUTS:
        traits = (*(trait for trait in traits if trait != "uncut"), one.cut)
    return traits


def write_recipe(ingredients: Sequence[Ingredient]) -> str:
    """Return the text of the cookbook."""
    names = [one.food.name for one in ingredients]
    steps = [
        f"{verbs[how]} the {one.food.name}"
        for one in ingredients
        for verbs, how in ((CUTS, one.cut), (HEATS, one.heat))
        if how in verbs
    ]
    return (
        f"You open the cookbook where a ribbon lies between the pages.\n\nIngredients: {', '.join(names)}.\n\n"
        f"Directions: {'; '.join((*steps, 'prepare meal'))}."
    )


def add_quests(
    maker: Maker, foods: Sequence[str], ingredients: Sequence[Ingredient], meal: str, cook: bool, cut: bool
) -> None:
    """State what scores and what loses; the order is that of TextWorld."""
    for food, one in zip(foods, ingredients, strict=True):
        # Burning loses before the other quests of this food are looked at.
        maker.quest(fail=[[("burned", food)]], reward=0)
        if one.place != "I":
            maker.quest(("in", food, "I"))
        for ways, how, to_do in ((HEATS, one.heat, cook), (CUTS, one.cut, cut)):
            win = [(how, food)] if to_do and how in ways else []
            # Eaten, or prepared in another way than the recipe's: it cannot be undone, so the game is lost.
            wrong = [[("consumed", food)], *([(way, food)] for way in ways if way != how)]
            maker.quest(*win, fail=wrong, reward=len(win))
    maker.quest(("in", meal, "I"), fail=[[("consumed", food)] for food in foods])
    maker.quest(("consumed", meal), fail=[[("burned", meal)]])


def walk_through(
    maker: Maker, ids: Mapping[str, str], foods: Sequence[str], ingredients: Sequence[Ingredient], cook: bool,
    cut: bool, slots: int,
) -> list[str]:  # fmt: skip
    """Return the commands that win: to the cookbook, to the ingredients, the nearest first, to BBQ and kitchen."""
    walk = Walk(maker.things, maker.facts)
    walk.go(ids["kitchen"])
    walk.commands.append("examine cookbook")
    missing = [food for food in foods if walk.places[food] != "I"]
    while missing:
        rooms = walk.nearest_first()
        # Again after each: the distances are those from where the player now stands.
        missing.sort(key=lambda food: rooms.index(walk.rooms.get(walk.places[food], walk.places[food])))
        walk.take(missing.pop(0))
    # The BBQ first, as it is outside; stove and oven are in the kitchen, where the way ends.
    for heat in ("grilled", "fried", "roasted") if cook else ():
        for food, one in zip(foods, ingredients, strict=True):
            if one.heat == heat:
                walk.go(walk.rooms[ids[SOURCES[heat]]])
                walk.commands.append(f"cook {walk.names[food]} with {SOURCES[heat]}")
    walk.go(ids["kitchen"])
    if cut:
        verbs = {food: CUTS[one.cut] for food, one in zip(foods, ingredients, strict=True) if one.cut in CUTS}
        cut_up(walk, foods, verbs, crowded=slots == len(foods))
    return [*walk.commands, "prepare meal", "eat meal"]


def cut_up(walk: Walk, foods: Sequence[str], verbs: Mapping[str, str], crowded: bool) -> None:
    """Cut the foods that have a verb; all are held, and if hands are crowded one makes room for the knife."""
    knife = next((key for key, name in walk.names.items() if name == "knife"), "")
    # Best put down is a food that needs no knife: False sorts before True.
    spare = min(foods, key=lambda food: food in verbs) if crowded and verbs else ""

    def cut(food: str) -> None:
        walk.commands.append(f"{verbs[food]} {walk.names[food]} with knife")

    def drop(thing: str) -> None:
        walk.commands.append(f"drop {walk.names[thing]}")
        walk.places[thing] = walk.rooms["P"]

    if spare:
        drop(spare)
    if verbs:
        walk.take(knife)
    for food in verbs:
        if food != spare:
            cut(food)
    # Every food needs the knife: cut the one on the floor too, with another one in its place.
    if spare in verbs:
        other = next(food for food in foods if food != spare)
        drop(other)
        walk.take(spare)
        cut(spare)
        spare = other
    if spare:
        # The meal needs all ingredients in the hands, so the knife has to go.
        drop(knife)
        walk.take(spare)
