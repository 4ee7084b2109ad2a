"""What a cooking game is furnished with: food, rooms, doors and furniture as tables, and the builder of a house.

Foods and facts are of the kinds of TextWorld's cooking challenge (Cote et al., 2018); the house is laid out on a grid.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.model.game import DIRECTIONS, beside


class Food(NamedTuple):
    """A kind of food: the facts that hold of it at first, and the furniture and rooms where it may lie."""

    name: str
    traits: tuple[str, ...]
    places: tuple[str, ...]
    indefinite: str = ""

    @property
    def can_be_cut(self) -> bool:
        """Whether a knife changes it."""
        return "cuttable" in self.traits

    @property
    def can_be_cooked(self) -> bool:
        """Whether heat changes it."""
        return "cookable" in self.traits


TO_COOK = ("inedible", "cookable", "needs_cooking", "cuttable", "uncut")
TO_COOK_WHOLE = ("inedible", "cookable", "needs_cooking")
FRESH = ("edible", "cookable", "raw", "cuttable", "uncut")
HERB = ("edible", "cuttable", "uncut")
DRY = ("edible",)
OIL = ("inedible",)
COLD, GROWN, STORED = ("fridge", "showcase"), ("fridge", "garden"), ("cupboard", "shelf", "showcase")
ROOTS, ORCHARD = ("counter", "shelf", "garden"), ("counter", "table", "sideboard", "garden")

FOODS = tuple(
    Food(name, traits, places, indefinite)
    for traits, places, indefinite, names in (
        (TO_COOK, COLD, "", ("pork chop", "lamb chop", "beef steak", "tuna steak", "salmon fillet", "cod fillet")),
        (TO_COOK, COLD, "", ("turkey breast", "duck breast")),
        (TO_COOK_WHOLE, COLD, "", ("chicken wing", "chicken leg", "duck leg", "brown egg", "white egg")),
        (TO_COOK, ROOTS, "", ("red potato", "white potato", "sweet potato", "purple aubergine", "white aubergine")),
        (FRESH, GROWN, "", ("red onion", "white onion", "yellow onion", "carrot", "parsnip", "leek", "cucumber")),
        (FRESH, GROWN, "", ("red pepper", "green pepper", "yellow pepper", "red cabbage", "white cabbage")),
        (FRESH, ORCHARD, "", ("red apple", "green apple", "yellow apple", "green pear", "yellow pear", "banana")),
        (FRESH, ORCHARD, "", ("cherry tomato", "beef tomato", "red plum", "yellow plum", "lemon")),
        (FRESH, COLD, "some", ("goat cheese", "blue cheese", "smoked tofu")),
        (HERB, GROWN, "some", ("parsley", "basil", "mint", "dill")),
        (DRY, STORED, "some", ("black pepper", "sea salt", "rock salt", "brown sugar", "white sugar", "wheat flour")),
        (OIL, STORED, "some", ("olive oil", "walnut oil")),
    )
    for name in names
)
LOOKS = ("The [noun] looks good.", "The [noun] smells as it should.", "A fine [noun].", "So this is the [noun].")

HOUSE = ("kitchen", "pantry", "livingroom", "corridor", "bedroom", "bathroom")
YARD = ("backyard", "garden", "shed")
TOWN = ("driveway", "street", "supermarket")
NEIGHBOURS = {  # which rooms may be joined, each pair once
    "kitchen": ("pantry", "livingroom", "corridor", "backyard"),
    "corridor": ("livingroom", "bedroom", "bathroom", "backyard", "driveway"),
    "livingroom": ("bedroom", "driveway"),
    "bedroom": ("bathroom",),
    "backyard": ("garden", "shed"),
    "street": ("driveway", "supermarket"),
}
JOINED = {frozenset((room, other)) for room, others in NEIGHBOURS.items() for other in others}
DOORS = {  # names of the door between two rooms, where there is one
    frozenset(("kitchen", "pantry")): ("narrow door", "swing door", "plain door"),
    frozenset(("kitchen", "backyard")): ("patio door", "screen door"),
    frozenset(("corridor", "backyard")): ("back door", "glazed door"),
    frozenset(("backyard", "shed")): ("barn door", "plank door"),
    frozenset(("livingroom", "driveway")): ("front door", "panelled door"),
    frozenset(("corridor", "driveway")): ("main door", "carved door"),
    frozenset(("street", "supermarket")): ("sliding door", "revolving door"),
}
ALWAYS = {  # furniture of each room: type and name
    "kitchen": (("c", "fridge"), ("oven", "oven"), ("s", "table"), ("s", "counter"), ("stove", "stove")),
    "pantry": (("s", "shelf"),),
    "livingroom": (("s", "sideboard"),),
    "backyard": (("toaster", "BBQ"),),
    "supermarket": (("s", "showcase"),),
}
SOMETIMES = {
    "kitchen": (("c", "cupboard"),),
    "livingroom": (("s", "sofa"), ("s", "bookcase")),
    "bedroom": (("s", "bed"), ("c", "wardrobe")),
    "bathroom": (("s", "washstand"),),
    "backyard": (("s", "deck chair"), ("s", "stone bench")),
    "shed": (("s", "workbench"), ("c", "toolbox")),
}
MOST_EXTRAS = 7  # with the furniture that is always there at most 16 pieces
USES = {"oven": "One can roast food in it.", "stove": "One can fry food on it.", "toaster": "One can grill food on it."}


def draw_passages(maker: Maker, groups: Sequence[Sequence[str]]) -> list[tuple[str, str, str]]:
    """Join the rooms to the first one of `groups`, one group after the other; return (room, direction, other room).

    Rooms stand on a grid; each hangs on one that may be its neighbour, in the order in which they appear here, and half
    of the further neighbours are joined too.
    """
    while True:  # until no room is left without a free side beside it, mostly at once
        cells = {(0, 0): groups[0][0]}
        passages = []
        # One group after the other: the yard, then the town, are joined to what stands already.
        for group in groups:
            rest = [room for room in group if room not in cells.values()]
            while rest:
                sides = [
                    (here, way, beside(cell, way), room)
                    for cell, here in cells.items()
                    for way in DIRECTIONS
                    if beside(cell, way) not in cells
                    for room in rest
                    if frozenset((here, room)) in JOINED
                ]
                # Walled in: the rooms of this group cannot all be placed, draw again.
                if not sides:
                    break
                here, way, cell, room = maker.pick(sides)
                cells[cell] = room
                passages.append((here, way, room))
                rest.remove(room)
        if len(cells) == sum(map(len, groups)):
            break
    found = {frozenset((here, room)) for here, _, room in passages}
    for cell, here in cells.items():
        for way in ("north", "east"):
            room = cells.get(beside(cell, way), here)
            pair = frozenset((here, room))
            if pair in JOINED - found and maker.rng.random() < 0.5:
                passages.append((here, way, room))
    return passages


def build_house(maker: Maker, groups: Sequence[Sequence[str]], doors: str, lids: str) -> dict[str, str]:
    """Build the rooms of `groups` with furniture; return the id of each room and piece by its name.

    Args:
        maker: where they are built.
        groups: names of rooms, the kitchen first; see `draw_passages`.
        doors: "open" or "closed"; empty for a house without doors.
        lids: "open" or "closed", the state of every container and of the oven.
    """
    passages = draw_passages(maker, groups)
    # Each room once, in the order in which it was placed.
    names = list(dict.fromkeys((groups[0][0], *(room for _, _, room in passages))))
    ids = {name: maker.room(name) for name in names}
    for here, way, there in passages:
        choices = DOORS.get(frozenset((here, there)), ()) if doors else ()
        maker.connect(ids[here], way, ids[there], maker.pick(choices) if choices else "", doors or "open")
    # Optional furniture, drawn over the whole house.
    extras = [(room, piece) for room in names for piece in SOMETIMES.get(room, ())]
    count = int(maker.rng.integers(min(MOST_EXTRAS, len(extras)) + 1))
    chosen = maker.draw(extras, count)
    for room in names:
        # In the order of the tables, not as drawn: ids and descriptions follow it.
        for kind, name in (*ALWAYS.get(room, ()), *SOMETIMES.get(room, ())):
            if (kind, name) in ALWAYS.get(room, ()) or (room, (kind, name)) in chosen:
                lock = lids if kind in ("c", "oven") else ""
                ids[name] = maker.fix(kind, name, ids[room], lock, USES.get(kind, ""))
    return ids


def available(food: Food, ids: Mapping[str, str]) -> list[str]:
    """Return the ids of the places of this house where such food may lie."""
    return [ids[place] for place in food.places if place in ids]
