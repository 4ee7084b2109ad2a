"""Which facts there are in each theme: their names, and the types of what they may speak of."""

from llm_envs.text.model.game import BACK, CONTAINERS, FIXED, PORTABLE, SUPPORTERS

ROOM, DOOR, FOOD, PART, SLOT = ("r",), ("d",), ("f", "meal"), ("ingredient",), ("slot",)
LOCKS = (*CONTAINERS, *DOOR)
LOCK_STATES, EDIBILITY = ("open", "closed", "locked"), ("edible", "inedible")
HEATS, CUTS = ("roasted", "fried", "grilled"), ("uncut", "sliced", "diced", "chopped")
GONE = ("eaten", "consumed", "used")
WAYS = {f"{way}_of": f"{back}_of" for way, back in BACK.items()}  # fact of a direction -> fact of the way back

Shape = tuple[tuple[str, ...], ...]  # the types that each argument may have
COIN_FACTS: dict[str, tuple[Shape, ...]] = {
    "at": ((("P",), ROOM), (PORTABLE + FIXED, ROOM)),
    "in": ((PORTABLE, (*CONTAINERS, "I")), (PART, ("RECIPE",))),
    "free": ((ROOM, ROOM), (SLOT,)),
    **dict.fromkeys(WAYS, ((ROOM, ROOM),)),
}
BASE_FACTS = COIN_FACTS | {
    "on": ((PORTABLE, SUPPORTERS),),
    "link": ((ROOM, DOOR, ROOM),),
    "match": ((("k",), LOCKS),),
    **dict.fromkeys(LOCK_STATES, ((LOCKS,),)),
    **dict.fromkeys(("edible", "eaten"), ((FOOD,),)),
}
COOKING_FACTS = {name: shapes for name, shapes in BASE_FACTS.items() if name != "eaten"} | {
    **dict.fromkeys(("inedible", "needs_cooking", "cooked", "burned", "consumed"), ((FOOD,),)),
    **dict.fromkeys(("cuttable", "cookable", "drinkable"), ((FOOD,),)),
    **dict.fromkeys(("raw", *HEATS, *CUTS), ((FOOD,), (PART,))),
    "used": ((FOOD,), (SLOT,)),
    "sharp": ((PORTABLE,),),
    "cooking_location": ((ROOM, ("RECIPE",)),),
    "out": ((("meal",), ("RECIPE",)),),
    "base": ((("f",), PART),),
    **{f"ingredient_{number}": ((("f",),),) for number in range(1, 6)},
}
FACTS = {"coin": COIN_FACTS, "base": BASE_FACTS, "cooking": COOKING_FACTS, "cooking-drop": COOKING_FACTS}
BASE_KINDS = ("r", "d", "c", "s", "f", "k", "o")
COOKING_KINDS = (*BASE_KINDS, "oven", "stove", "toaster", "meal", "ingredient")
KINDS = {"coin": ("r", "o"), "base": BASE_KINDS, "cooking": COOKING_KINDS, "cooking-drop": (*COOKING_KINDS, "slot")}
EXCLUSIVE = {name: group for group in (LOCK_STATES, EDIBILITY, HEATS, CUTS) for name in group}  # at most one of a group
