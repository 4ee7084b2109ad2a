"""Where things belong in a home: rooms with their furniture, and objects with the pieces of furniture for them."""

ROOMS = {  # type and name of each piece; "c" can be closed
    "kitchen": (
        ("c", "fridge"),
        ("c", "dishwasher"),
        ("c", "cutlery drawer"),
        ("c", "cupboard"),
        ("c", "trash can"),
        ("s", "dish rack"),
        ("s", "worktop"),
    ),
    "living room": (("s", "bookcase"), ("s", "coffee table"), ("s", "sofa"), ("c", "toy chest"), ("s", "desk")),
    "bedroom": (("c", "wardrobe"), ("c", "dresser"), ("s", "bed"), ("s", "nightstand"), ("c", "jewellery box")),
    "bathroom": (("c", "medicine cabinet"), ("s", "washstand"), ("s", "towel rail"), ("s", "bathtub")),
    "laundry room": (
        ("c", "washing machine"),
        ("c", "laundry basket"),
        ("s", "ironing board"),
        ("c", "utility closet"),
    ),
    "corridor": (("s", "shoe shelf"), ("s", "coat stand"), ("s", "key hook"), ("s", "umbrella stand")),
}
PAPER, DISHES, CUTLERY, CROCKERY = ("trash can",), ("dishwasher",), ("cutlery drawer",), ("cupboard", "dish rack")
FOOD, WASHING, UNDERWEAR, HANGING = ("fridge",), ("laundry basket", "washing machine"), ("dresser",), ("wardrobe",)
BOOKS, TOYS, JEWELS, DRUGS = ("bookcase", "nightstand"), ("toy chest",), ("jewellery box",), ("medicine cabinet",)
CARE, SHOES, COATS, DESK = ("washstand", "medicine cabinet"), ("shoe shelf",), ("coat stand", "wardrobe"), ("desk",)
BEDDING, CLEANING, KEYS, UMBRELLAS = ("bed",), ("utility closet",), ("key hook",), ("umbrella stand",)
BATHING, TOWELS, BAKING, LEISURE = ("bathtub",), ("towel rail",), ("worktop",), ("coffee table",)
IRONING, SEATING = ("ironing board",), ("sofa",)

OBJECTS = {  # the right places of each
    name: places
    for places, names in (
        (PAPER, ("apple core", "banana peel", "empty tin", "broken egg", "used teabag")),
        (DISHES, ("dirty fork", "dirty plate", "dirty mug", "dirty saucepan", "dirty glass")),
        (CUTLERY, ("clean fork", "clean spoon", "butter knife", "corkscrew")),
        (CROCKERY, ("clean plate", "clean bowl", "clean teacup", "wine glass")),
        (FOOD, ("milk carton", "yoghurt", "sliced ham", "lettuce", "egg box")),
        (BAKING, ("blender", "kettle", "bread box")),
        (WASHING, ("dirty sock", "dirty shirt", "sweaty vest", "muddy trousers", "stained apron")),
        (UNDERWEAR, ("clean sock", "cotton briefs", "wool tights", "flannel pyjamas")),
        (HANGING, ("evening dress", "pleated skirt", "silk tie", "grey suit")),
        (IRONING, ("flat iron", "creased blouse")),
        (BOOKS, ("detective novel", "poetry volume", "atlas", "bible")),
        (DESK, ("laptop", "fountain pen", "stapler", "table calendar")),
        (TOYS, ("teddy bear", "rubber ball", "toy car", "jigsaw puzzle", "building brick")),
        (LEISURE, ("remote control", "glossy magazine", "coaster")),
        (SEATING, ("velvet cushion", "crochet throw")),
        (BEDDING, ("pillow", "duvet", "fitted sheet")),
        (JEWELS, ("pearl necklace", "gold ring", "silver bracelet", "diamond brooch")),
        (DRUGS, ("cough syrup", "aspirin bottle", "gauze roll", "thermometer")),
        (CARE, ("toothbrush", "toothpaste", "soap bar", "razor", "hand cream")),
        (TOWELS, ("bath towel", "face flannel")),
        (BATHING, ("rubber duck", "loofah", "bubble bath")),
        (CLEANING, ("broom", "mop", "dustpan", "feather duster")),
        (SHOES, ("rain boot", "running shoe", "leather sandal", "high heel")),
        (COATS, ("winter coat", "raincoat", "denim jacket")),
        (KEYS, ("house key", "bicycle key")),
        (UMBRELLAS, ("black umbrella", "walking stick")),
    )
    for name in names
}
SOME = (  # listed as "some", not "a"
    "cotton briefs",
    "muddy trousers",
    "wool tights",
    "flannel pyjamas",
    "sliced ham",
    "lettuce",
    "yoghurt",
    "toothpaste",
    "hand cream",
    "cough syrup",
    "bubble bath",
)
