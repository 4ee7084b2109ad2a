"""What a turn tells: every reply, names of food, scores and endings, and how many tokens it can take."""

import re
from dataclasses import replace

import numpy as np
import pytest
from text_scene import ANSWER, GAME, NUMBERS, SHOWN, Scene

from llm_envs.engine import transcript
from llm_envs.text.language import listing, numerals, render, replies, turn_length
from llm_envs.text.language.pieces import Vocabulary
from llm_envs.text.records import codes
from llm_envs.world import record

FOODS = [
    (codes.RAW, codes.UNCUT, "an apple"),
    (codes.NEEDS_COOKING | codes.INEDIBLE, 0, "a raw apple"),
    (codes.NEEDS_COOKING, codes.SLICED, "a sliced raw apple"),
    (codes.COOKED | codes.EDIBLE | codes.GRILLED, codes.DICED, "a diced grilled apple"),
    (codes.COOKED | codes.FRIED, codes.CHOPPED, "a chopped fried apple"),
    (codes.COOKED | codes.ROASTED, 0, "a roasted apple"),
    (codes.BURNED | codes.ROASTED, 0, "a burned apple"),
    (0, codes.USED | codes.CHOPPED, "a chopped apple"),
]


@pytest.mark.parametrize(("food", "cut", "name"), FOODS)
def test_names_of_food(food: int, cut: int, name: str) -> None:
    """In cooking games lists and examine tell what became of food; other replies and other games do not."""
    texts = {"f_0": replace(GAME.things["f_0"], text="Behold the [noun]!")}
    cooking = Scene(replace(GAME, theme="cooking", things={**GAME.things, **texts}))
    for scene, printed in ((cooking, name), (Scene(), "an apple")):
        scene.fill("I", "f_0")
        scene.state.food[0], scene.state.cut[0] = food, cut
        assert scene.say(render.render_inventory) == f"You are carrying: {printed}."
        assert scene.reply(replies.DROPPED, "f_0") == "You drop the apple on the ground."
    assert cooking.reply(replies.EXAMINED, "f_0") == f"Behold the {name.partition(' ')[2]}!"


def expected_reply(number: int, scene: Scene) -> str:
    """Return what a template says with x the chest, y the oak door and z the key, or the verb "put"."""
    late = replies.FIRST_PARSER <= number < replies.REPLIES
    things = {"x": "chest", "y": "oak door", "z": "iron key"}
    texts = {
        "contents x": "some milk", "hands": "an apple", "way x": "east", "verb": "put", "link": "on", "score": "7",
        "most": "0", "points": "7 points", "turns": "5 turns", "gain": "two points",
    }  # fmt: skip
    for letter, name in things.items():
        texts[letter], texts[f"the {letter}"] = name, name if "door" in name else f"the {name}"
    if late:
        texts["the z"] = "the long table"  # a verb's number is a thing's number
    said = re.sub(r"\[([^\]]*)\]", lambda slot: texts[slot[1]], replies.TEMPLATES[number])
    return said


WITHOUT_TEMPLATE = (replies.DESCRIPTION, replies.EXAMINED, replies.GOAL)


@pytest.mark.parametrize("reply", [r for r in range(replies.REPLIES) if r not in WITHOUT_TEMPLATE])
def test_every_reply(reply: int) -> None:
    scene = Scene().fill("c_0", "o_0").fill("I", "f_0")
    scene.state.reply, scene.state.score, scene.state.turns = reply, 7, 4
    scene.state.x, scene.state.y, scene.state.z = (NUMBERS.things[thing] for thing in ("c_0", "d_0", "k_0"))
    if reply >= replies.FIRST_PARSER:
        scene.state.z = codes.PUT if "[verb]" in replies.TEMPLATES[reply] else NUMBERS.things["s_0"]
    if "[way x]" in replies.TEMPLATES[reply]:
        scene.state.x = 2
    assert scene.say(render.render_parts, ANSWER) == expected_reply(reply, scene)


@pytest.mark.parametrize(
    ("inferred", "words"),
    [
        (replies.INFERRED_WITH, "(with the iron key) You unlock oak door."),
        (replies.INFERRED, "(the iron key) You unlock oak door."),
        (replies.INFERRED_IN, "(in the iron key) You unlock oak door."),
        (0, "You unlock oak door."),
    ],
)
def test_inferred_nouns(inferred: int, words: str) -> None:
    """What was taken for granted is said before the reply; a bracket is glued to an article or to a door's name."""
    scene = Scene()
    scene.state.inferred = inferred
    assert scene.reply(replies.UNLOCKED_IT, "d_0", "k_0", "k_0") == words
    door = words.replace("the iron key", "oak door")
    assert scene.reply(replies.UNLOCKED_IT, "d_0", "k_0", "d_0") == door


def test_replies_without_templates() -> None:
    scene = Scene()
    assert scene.reply(replies.DESCRIPTION).startswith("-= Kitchen =- You're in")
    assert scene.reply(replies.CARRYING) == "You are carrying nothing."
    assert scene.reply(replies.GOAL) == 'Find the "key".'
    assert scene.reply(replies.UNLOCKED_IT, "d_0", "k_0") == "You unlock oak door."
    assert scene.reply(replies.X_FIXED, "d_0") == "The oak door is fixed in place."


END = " Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?"
QUESTS = ((1, 0), (3, 0), (-2, 0), (-5, codes.OPTIONAL), (4, codes.OPTIONAL))


@pytest.mark.parametrize(
    ("gain", "score", "turns", "ending", "text"),
    [
        (0, 3, 8, codes.PLAYING, ""),
        (1, 3, 8, codes.PLAYING, "Your score has just gone up by one point."),
        (-1, 3, 8, codes.PLAYING, "Your score changed by minus one point."),
        (2, 6, 8, codes.WON, "Your score has just gone up by two points. *** The End *** "
         "You scored 6 out of a possible 6, in 9 turns." + END),
        (0, -12, 0, codes.WON, "*** The End *** You scored -12 out of a possible 6, in 1 turn." + END),
        (2, 1, 10, codes.LOST, "*** You lost! *** You scored 3 out of a possible 6, in 10 turns." + END),
        (0, 0, 1, codes.LOST, "*** You lost! *** You scored 0 out of a possible 6, in 1 turn." + END),
    ],
)  # fmt: skip
def test_notices(gain: int, score: int, turns: int, ending: int, text: str) -> None:
    """A won game counts one turn more; a lost one no longer tells a gain, but adds it to what was scored."""
    scene = Scene()
    scene.level.quests = len(QUESTS)
    for k, (reward, flags) in enumerate(QUESTS):
        scene.level.quest_reward[k], scene.level.quest_flags[k] = reward, flags
    scene.state.gain, scene.state.score, scene.state.turns, scene.state.ending = gain, score, turns, ending
    assert scene.say(render.render_parts, render.NOTICES) == text


def test_endless_scores() -> None:
    """Where a quest can be repeated there is no most; one that is optional and costs points does not count."""
    scene = Scene()
    scene.level.quests, scene.state.score, scene.state.turns, scene.state.ending = 1, 1, 2, codes.WON
    scene.level.quest_reward[0], scene.level.quest_flags[0] = 5, codes.REPEATABLE
    assert scene.say(render.render_parts, render.NOTICES).startswith(
        "*** The End *** You scored a total of 1 point, in 3 turns."
    )
    scene.state.ending = codes.PLAYING
    assert scene.reply(replies.SCORE_SO_FAR) == "You have so far scored 1 point, in 3 turns."
    scene.level.quest_reward[0], scene.level.quest_flags[0] = -5, codes.REPEATABLE | codes.OPTIONAL
    assert scene.reply(replies.SCORE_SO_FAR) == "You have so far scored 1 out of a possible 0, in 3 turns."


NUMBER_WORDS = {
    0: "zero", 7: "seven", 13: "thirteen", 20: "twenty", 21: "twenty-one", 99: "ninety-nine", 100: "one hundred",
    105: "one hundred and five", 340: "three hundred and forty", 1000: "one thousand", -2: "minus two",
    2016: "two thousand and sixteen", 40_300: "forty thousand, three hundred",
    999_999: "nine hundred and ninety-nine thousand, nine hundred and ninety-nine",
}  # fmt: skip


@pytest.mark.parametrize(("number", "words"), NUMBER_WORDS.items())
def test_numbers_in_words_and_digits(number: int, words: str) -> None:
    shown, vocabulary = np.zeros(1, SHOWN).view(np.recarray)[0], Vocabulary([])
    for rule, text in ((numerals.add_words, words), (numerals.add_digits, str(number))):
        end = rule(shown, 3, number)
        assert vocabulary.decode(shown.tokens[3:end].tolist()) == text


def test_a_turn() -> None:
    """Reply, notices, then what is to be shown besides; a command's words are marked."""
    scene = Scene().fill("I", "k_0")
    scene.state.room = 1
    scene.state.reply, scene.state.x, scene.state.gain = replies.PICKED_UP, NUMBERS.things["k_0"], 1
    told = "You pick up the iron key from the ground. Your score has just gone up by one point."
    room, hands = " -= King'S Hall 12 =- Echoes.", " You are carrying: an iron key."
    for shows, more in ((0, ""), (1, room), (2, hands), (3, room + hands)):
        assert scene.say(render.render_turn, shows) == told + more
    assert scene.say(render.render_start, 2) == f'Find the "key".{room}{hands}'
    shown = np.zeros(1, SHOWN).view(np.recarray)[0]
    transcript.append(shown, render.PROMPT, transcript.WORLD)
    start = scene.level.command_text[1]
    for k in range(scene.level.command_words[1]):
        transcript.append(shown, scene.level.tokens[start + k], transcript.POLICY)
    render.render_parts(scene.state, scene.level, shown, ANSWER)
    shown.length = listing.add_name(scene.level, shown, int(shown.length), len(NUMBERS.things) + 1)
    text = scene.vocabulary.decode(shown.tokens[: shown.length].tolist())
    assert text == "> put iron key on long table You pick up the iron key from the ground. King'S Hall 12"
    assert shown.token_mask[: shown.length].tolist() == [0] + [1] * 6 + [0] * (shown.length - 7)


def test_longest_turn_bounds_every_turn() -> None:
    """Random states of a cooking game, every reply, every end."""
    scene, rng = Scene(replace(GAME, theme="cooking")), np.random.default_rng(0)
    bounds = [turn_length.longest_turn(scene.levels, shows) for shows in range(4)]
    longest = [0] * 4
    shown = np.zeros(1, record(tokens=(np.int32, (bounds[3],)), length=np.int32, token_mask=(np.int8, (1,))))
    shown = shown.view(np.recarray)[0]
    for _ in range(3000):
        places: dict[str, list[str]] = {}
        for thing in rng.permutation(list(NUMBERS.portables)):
            places.setdefault(str(rng.choice(list(NUMBERS.holders))), []).append(thing)
        for holder in NUMBERS.holders:
            scene.fill(holder, *places.get(holder, []))
        state = scene.state
        state.lock[:], state.food[:], state.cut[:] = (rng.integers(top) for top in (5, 256, 8))
        state.room, state.reply = rng.integers(2), rng.integers(replies.REPLIES)
        state.x, state.y, state.z = rng.integers(4, 7), rng.integers(8), rng.integers(8)
        if "[way x]" in replies.TEMPLATES[int(state.reply)]:
            state.x = 0
        state.gain, state.ending, state.turns = rng.integers(-9999, 9999), rng.integers(3), 123_456
        for shows in range(4):
            shown.length = 0
            render.render_turn(state, scene.level, shown, shows)
            longest[shows] = max(longest[shows], int(shown.length))
    assert all(told <= bound < 2 * told for told, bound in zip(longest, bounds, strict=True)), (longest, bounds)
