"""Typed commands: what they mean. All expected meanings are what TextWorld's interpreter makes of the same game."""

import random

import numpy as np
import pytest
from numba import njit

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.compiler.pool import compile_games
from llm_envs.text.language import replies
from llm_envs.text.model.game import Game
from llm_envs.text.parser.parser import Parsed, parse
from llm_envs.text.records import codes
from llm_envs.text.records.codes import NONE, VERBS
from llm_envs.text.records.state import game_kind
from llm_envs.text.rules.turn import carry_out

VERB_NAMES = (
    "LOOK", "INVENTORY", "PREPARE", "GO", "EXAMINE", "TAKE", "DROP", "PUT", "INSERT", "OPENING", "CLOSING", "LOCKING",
    "UNLOCKING", "EAT", "DRINK", "SLICE", "DICE", "CHOP", "COOK",
)  # fmt: skip
MEANINGS = {getattr(codes, name): name for name in VERB_NAMES}
MEANINGS |= {
    VERBS + k: name for name, k in vars(replies).items() if isinstance(k, int) and not name.startswith("FIRST")
}


def house() -> Game:
    maker = Maker("house", "base", np.random.default_rng(0))
    hall, cellar = maker.room("hall", "A hall."), maker.room("cellar", "A cellar.")
    door = maker.connect(hall, "north", cellar, "oak door", "locked")
    chest = maker.fix("c", "iron chest", hall, "closed")
    table = maker.fix("s", "long table", hall)
    brass = maker.put("k", "brass key", "I")
    iron = maker.put("k", "iron key", table)
    maker.put("o", "green lamp", hall, synonyms=("lantern",))
    maker.put("f", "loaf of bread", table, traits=("edible",))
    maker.put("o", "silver coin", cellar)
    maker.say("match", brass, door)
    maker.say("match", iron, chest)
    maker.start(hall)
    maker.quest(("at", "P", cellar))
    return maker.game("Go.")


def kitchen() -> Game:
    maker = Maker("kitchen", "cooking", np.random.default_rng(0))
    room = maker.room("kitchen", "A kitchen.")
    stove, fridge = maker.fix("stove", "stove", room), maker.fix("c", "refrigerator", room, "open")
    maker.put("o", "bread knife", "I", traits=("sharp",))
    maker.put("f", "red potato", fridge, traits=("raw", "needs_cooking", "inedible", "uncut"))
    maker.put("f", "red onion", "I", traits=("cooked", "fried", "edible", "sliced"))
    apple = maker.put("f", "green apple", stove, traits=("raw", "edible", "uncut"))
    meal, ingredient = maker.add("meal", "meal"), maker.add("ingredient")
    for fact in (("ingredient_1", apple), ("base", apple, ingredient), ("raw", ingredient), ("uncut", ingredient),
                 ("in", ingredient, "RECIPE"), ("out", meal, "RECIPE"), ("cooking_location", room, "RECIPE"),
                 ("edible", meal)):  # fmt: skip
        maker.say(*fact)
    maker.start(room)
    maker.quest(("consumed", meal))
    return maker.game("Cook.")


class Start:
    """The start of a game, without compiled rules."""

    def __init__(self, game: Game) -> None:
        pool = compile_games([game])
        self.levels, self.states = pool.levels, np.zeros(1, game_kind(pool.size))
        self.level, self.state = self.levels[0], self.states[0]
        for name in ("room", "holder", "after", "first", "lock", "food", "cut"):
            self.state[name] = self.level[f"start_{name}"]
        (self.symbols,) = pool.symbols.values()
        self.names = [game.things[thing].name for thing in self.symbols.numbers.things]

    def read(self, text: str) -> Parsed:
        return parse(text, self.symbols, self.state, self.level)

    def means(self, text: str) -> str:
        """Return a meaning in words: verb, x, y, z, and what is said before the reply."""
        parsed = self.read(text)
        said = [MEANINGS[parsed.verb]]
        x_is_way = parsed.verb in (codes.GO, VERBS + replies.ONLY_WAY)
        said += [str(parsed.x)] if x_is_way else [self.names[thing] for thing in parsed[1:3] if thing != NONE]
        if parsed.inferred:
            said.append(f"({replies.TEMPLATES[parsed.inferred][1:-1].replace('[the z]', self.names[parsed.z])})")
        elif parsed.z != NONE:
            is_thing = parsed.verb == VERBS + replies.WHICH_OF_THREE
            said.append(self.names[parsed.z] if is_thing else replies.VERB_WORDS[parsed.z])
        return ", ".join(said)


HOUSE, KITCHEN = Start(house()), Start(kitchen())

IN_HOUSE = {
    # abbreviations and synonyms
    "l": "LOOK", "i": "INVENTORY", "inv": "INVENTORY", "n": "GO, 0", "north": "GO, 0", "walk south": "GO, 1",
    "x table": "EXAMINE, long table", "look at the long table": "EXAMINE, long table",
    "read lantern": "EXAMINE, green lamp", "take lamp": "TAKE, green lamp", "GET The Lantern": "TAKE, green lamp",
    "pick up green lamp": "TAKE, green lamp", "pick lamp up": "TAKE, green lamp",
    "take bread loaf": "TAKE, loaf of bread", "take loaf of bread": "TAKE, loaf of bread",
    "shut iron chest": "CLOSING, iron chest", "z": "WAITED", "put down brass": "DROP, brass key",
    "throw brass key": "DROP, brass key", "open chest.": "OPENING, iron chest",
    "take bread off table": "TAKE, loaf of bread, long table", "go door": "GO, 0", "enter oak door": "GO, 0",
    "get iron from the table": "TAKE, iron key, long table",
    "open door with brass key": "UNLOCKING, oak door, brass key",
    "put brass key in chest": "INSERT, brass key, iron chest",
    "insert bread into table": "INSERT, loaf of bread, long table",
    # the likeliest thing, and what is taken for granted
    "x brass": "EXAMINE, brass key", "examine key": "EXAMINE, brass key, (brass key)",
    "take iron": "TAKE, iron chest, (iron chest)", "open iron": "OPENING, iron chest, (iron chest)",
    "unlock door": "UNLOCKING, oak door, brass key, (with brass key)",
    "unlock door with key": "UNLOCKING, oak door, brass key, (brass key)", "drop": "DROP, brass key, (brass key)",
    "drop all": "DROP, brass key, (brass key)", "put lamp": "INSERT, green lamp, brass key, (in brass key)",
    # not understood
    "take lamp from table": "CANT_SEE", "take coin": "CANT_SEE", "go to cellar": "CANT_SEE", "go up": "NO_WAY",
    "examine lamp now": "ONLY_X, green lamp, examine", "take green foo": "ONLY_X, green lamp, take",
    "put key on table now": "ONLY_XY, brass key, long table, put", "go north now": "ONLY_WAY, 0",
    "look up": "NOTHING_THERE", "take": "ASK_X, take",
    "unlock chest with": "UNLOCKING, iron chest, brass key, (brass key)", "examine all": "NOT_MANY",
    "kiss lamp": "NOT_ANIMATE", "xyzzy": "NO_VERB", "use key": "NO_VERB", "": "PARDON", "cook bread": "NO_VERB",
    "dice bread with key": "NO_VERB", "lock chest foo key": "NO_SENSE", ".": "NO_VERB",
    # understood, to no avail
    "take all": "BE_SPECIFIC", "go": "NO_DIRECTION", "enter": "NO_NOUN", "wear lamp": "TAKE_FIRST, green lamp",
    "take off lamp": "NOT_WORN, green lamp", "search table": "MANY_ON, long table",
    "look in chest": "SHUT_IN, iron chest", "push table": "IT_IS_FIXED", "push lamp": "NOTHING_HAPPENS",
    "take north": "NO_THING", "x north": "NOTHING_THERE", "wear door": "X_FIXED, oak door", "smell": "SMELT",
    "help": "HELP", "score": "SCORE_SO_FAR", "goal": "GOAL", "drink lamp": "NOT_DRINKABLE, green lamp",
    "cut bread": "CUT_LITTLE, loaf of bread",
}  # fmt: skip
IN_KITCHEN = {
    "cook red potato on stove": "COOK, red potato, stove", "chop potato using knife": "CHOP, red potato, bread knife",
    "take raw potato": "TAKE, red potato", "take uncut red potato": "TAKE, red potato",
    "x sliced": "EXAMINE, red onion", "x fried sliced onion": "EXAMINE, red onion",
    "take fried potato": "ONLY_X, red onion, take", "open refrigerat": "OPENING, refrigerator",
    "slice potato": "SLICE, red potato, bread knife, (with bread knife)", "cut potato": "CUT_HOW, red potato",
    "drink potato": "DRINK, red potato", "prepare meal": "PREPARE", "prepare the meal": "NO_SENSE",
    "take red": "TAKE, red onion, (red onion)", "take raw": "WHICH, red potato, green apple",
    "look in refrigerator": "ONE_IN, refrigerator",
}  # fmt: skip


@pytest.mark.parametrize("text", IN_HOUSE)
def test_means_what_the_interpreter_makes_of_it(text):
    assert HOUSE.means(text) == IN_HOUSE[text]


@pytest.mark.parametrize("text", IN_KITCHEN)
def test_knows_food_by_its_state(text):
    assert KITCHEN.means(text) == IN_KITCHEN[text]


def in_sight(start: Start) -> list[tuple[str, Parsed]]:
    """Return the game's own commands about what the player can see, where it is, with what they mean."""
    level, commands = start.level, []
    for text, number in zip(start.symbols.commands, start.symbols.order, strict=True):
        verb, x, y = map(int, level["commands"][number])
        things = [thing for thing in ((y,) if verb == codes.GO else (x, y)) if thing != NONE]
        seen = all(start.read(f"examine {start.names[thing]}").verb == codes.EXAMINE for thing in things)
        elsewhere = start.state["holder"][x] != level["rooms"] + y - level["portables"] if verb == codes.TAKE else False
        if seen and not (y != NONE and elsewhere):
            commands.append((text, Parsed(verb, x, y)))
    return commands


@pytest.mark.parametrize("start", [HOUSE, KITCHEN], ids=["house", "kitchen"])
def test_reads_the_games_own_commands(start):
    commands = in_sight(start)
    assert len(commands) > 30
    for text, meaning in commands:
        assert start.read(text) == meaning, text


def test_out_of_sight_is_told_from_nonsense():
    HOUSE.state["room"] = 1
    try:
        assert HOUSE.means("take silver") == "TAKE, silver coin"
        assert HOUSE.means("take lamp") == "CANT_SEE"
        assert HOUSE.means("s") == "GO, 1"
        assert HOUSE.means("go through door") == "GO, 1"
        assert HOUSE.means("drop lamp") == "CANT_SEE"
    finally:
        HOUSE.state["room"] = 0


def random_texts(count: int) -> list[str]:
    """Return texts of words that the parser knows, of letters, and of any characters."""
    draw = random.Random(0)
    words = [word for start in (HOUSE, KITCHEN) for text in start.symbols.commands for word in text.split()]
    words += [word for text in (*IN_HOUSE, *IN_KITCHEN) for word in text.split()]
    words += ["the", "a", "an", "some", "of", "all", "every", "and", "but", ",", ".", "then", "it", "with", "up", '"']
    texts = [" ".join(draw.choices(words, k=draw.randrange(1, 9))) for _ in range(count)]
    texts += ["".join(map(chr, draw.choices(range(0x2000), k=draw.randrange(1, 30)))) for _ in range(count // 10)]
    return texts


def test_answers_any_text():
    texts = random_texts(6000)
    texts += [text[:end] for start in (HOUSE, KITCHEN) for text, _ in in_sight(start) for end in range(len(text))]
    texts += [
        "\0",
        "\x1b[2J",
        "take \n lamp",
        "\ud800",
        "take lamp" * 10**6,
        " " * 10**7,
        "x" * 10**7,
        "é" * 500,
        "🔑 🔑",
    ]
    for start in (HOUSE, KITCHEN):
        before, things = start.state.tobytes(), len(start.names)
        for text in texts:
            parsed = start.read(text)
            reply = parsed.verb - VERBS
            assert 0 <= parsed.verb < VERBS + replies.REPLIES, text
            if reply < 0:
                both = parsed.inferred == replies.INFERRED_XY
                named = parsed[1:3] if both else parsed[1:4]
                assert all(thing == NONE or thing < things for thing in named), text
                assert not both or replies.VERB_WORDS[parsed.z] in replies.LINKS, text
                assert parsed.inferred == 0 or parsed.inferred > replies.REPLIES - 1, text
            else:
                template = replies.TEMPLATES[reply]
                wanted = [slot in template for slot in ("x]", "y]")]
                assert all(not want or thing < things for want, thing in zip(wanted, parsed[1:3], strict=True)), text
                assert "[verb]" not in template or parsed.z < len(replies.VERB_WORDS), text
                assert "[link]" not in template or replies.VERB_WORDS[parsed.z] in replies.LINKS, text
        assert start.state.tobytes() == before


def shed() -> Game:
    maker = Maker("shed", "base", np.random.default_rng(0))
    room = maker.room("shed", "A shed.")
    for name in ("red box", "red key", "red box lid", "type X key", "half of a pie", "wheelbarrow"):
        maker.put("o", name, room)
    maker.start(room)
    maker.quest(("in", "o_0", "I"), ("in", "o_1", "I"))
    return maker.game("Wait.")


IN_SHED = {
    "take red box": "TAKE, red box, (red box)",  # "red box lid" is as well named by these words
    "take lid": "TAKE, red box lid",
    "take x key": "TAKE, type X key",
    "take half of a pie": "TAKE, half of a pie",
    "take the half of pie": "ONLY_X, half of a pie, take",
    "take wheelbarr": "TAKE, wheelbarrow",  # a word is known by nine letters
    "take red": "WHICH_OF_THREE, red box, red key, red box lid",
    "take a red": "TAKE, red box, (red box)",
}  # fmt: skip


@pytest.mark.parametrize("text", IN_SHED)
def test_names_with_shared_words(text):
    assert Start(shed()).means(text) == IN_SHED[text]


@njit
def reply_to(states, levels, verb, x, y):
    return carry_out(states[0], levels[0], verb, x, y)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("put brass key in brass key", replies.IN_ITSELF),
        ("put brass key on brass key", replies.ON_ITSELF),
        ("unlock table with brass key", replies.NO_LOCK_TO_UNLOCK),
        ("lock table with brass key", replies.NO_LOCK),
        ("drop oak door", replies.DOOR_HERE),
        ("drop table", replies.ALREADY_HERE),
        ("drop bread", replies.NOT_HELD),
    ],
)
def test_refuses_as_the_interpreter_does(text, reply):
    start = Start(house())
    parsed = start.read(text)
    assert reply_to(start.states, start.levels, parsed.verb, parsed.x, parsed.y) == reply
