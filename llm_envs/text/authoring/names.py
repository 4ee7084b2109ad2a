"""Names of rooms, furniture, objects, foods, doors and locks, and what puts furniture into a room."""

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.room_names import NAMES

MANY_ROOMS = tuple(name.lower() for name in NAMES)  # 100 of them, without furniture

ROOMS = {  # room: its containers; its supporters
    "attic": (("steamer trunk", "hatbox"), ("rocking chair",)),
    "bathroom": (("medicine cabinet",), ("washstand", "bathtub rim")),
    "bedroom": (("wardrobe",), ("bed", "nightstand")),
    "boot room": (("shoe locker",), ("boot rack",)),
    "cellar": (("wine crate", "cider barrel"), ("trestle",)),
    "conservatory": (("seed drawer",), ("wicker stool",)),
    "dining room": (("sideboard",), ("dining table", "tea trolley")),
    "drawing room": (("writing bureau",), ("divan", "card table")),
    "game room": (("dart cabinet",), ("pool table",)),
    "garage": (("toolbox",), ("workbench", "roof rack")),
    "greenhouse": (("potting bin",), ("flower stand",)),
    "guest room": (("suitcase",), ("futon",)),
    "hallway": (("umbrella urn",), ("coat stand",)),
    "kitchen": (("fridge", "cupboard"), ("counter",)),
    "laundry": (("washing machine", "hamper"), ("ironing board",)),
    "library": (("atlas cabinet",), ("bookshelf", "lectern")),
    "living room": (("display case",), ("sofa", "mantel")),
    "music room": (("violin case",), ("piano",)),
    "nursery": (("toy bin",), ("cradle",)),
    "pantry": (("bread bin", "flour tub"), ("spice rack",)),
    "porch": (("letterbox",), ("bench",)),
    "sewing room": (("yarn basket",), ("cutting board",)),
    "studio": (("paint case",), ("easel",)),
    "study": (("filing drawer",), ("desk", "footstool")),
}
OBJECTS = (  # noqa: SIM905
    "abacus, almanac, bell, brooch, candle, chess piece, clay whistle, comb, compass, corkscrew, diary, egg timer, "
    "domino, eraser, figurine, flashlight, glove, hammer, harmonica, jug, kettle, lantern, locket, magnet, marble, "
    "monocle, mug, napkin, notebook, opera ticket, paperweight, pencil, postcard, quill, ruler, saucer, scarf, "
    "shell, sock, spool, spoon, stapler, stopwatch, teapot, thimble, top hat, trowel, vase"
).split(", ")
FOODS = (  # noqa: SIM905
    "apple, bagel, cookie, dumpling, fig, mango, muffin, omelette, pancake, pear, pretzel, scone, turnip, waffle"
).split(", ")
DOORS = [f"{look} {kind}" for look in ("arched", "beaded", "birch", "carved", "dutch", "frosted", "glass", "heavy",
                                       "narrow", "oak", "painted", "pine", "rusty", "sliding", "swing", "tall")
         for kind in ("door", "gate")]  # fmt: skip
METALS = ("brass", "bronze", "chrome", "cobalt", "copper", "gold", "nickel", "pewter", "silver", "steel", "tin", "zinc")
CHESTS = ("chest", "coffer", "safe", "strongbox")


def furnish(maker: Maker, room: str, kind: str, lock: str = "") -> str:
    """Put a container ("c"), which is `lock`, or a supporter ("s") that suits it into a room; return its id."""
    containers, supporters = ROOMS[maker.things[room].name]
    if kind == "s":
        return maker.fix("s", maker.pick(supporters), room)
    return maker.fix("c", maker.pick(containers), room, lock)


def lock_names(maker: Maker, kinds: list[str]) -> list[tuple[str, str]]:
    """Return names for locks of these kinds, "door" or "chest", each with that of its key: of the same metal."""
    # Each metal once, so that a key's name tells its lock.
    metals = maker.draw(METALS, len(kinds))
    return [
        (f"{metal} {'door' if kind == 'door' else maker.pick(CHESTS)}", f"{metal} key")
        for metal, kind in zip(metals, kinds, strict=True)
    ]
