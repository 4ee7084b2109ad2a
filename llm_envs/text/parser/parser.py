"""Reads typed commands: any text becomes a verb of the rules and its things, or a reply.

The commands are those that games of TextWorld understand: synonyms and abbreviations ("get lamp", "x box", "n"),
nouns by some of their words, half commands ("unlock chest" with one key in the hands), and what they refuse.
docs/guide/text-games.md lists what is answered in another way.
"""

from typing import Any, NamedTuple

from llm_envs.text.compiler.symbols import SymbolTable
from llm_envs.text.language import replies
from llm_envs.text.language.dictionary import LONGEST, MOST_WORDS, WORD, cut_off
from llm_envs.text.parser import sentences
from llm_envs.text.parser.grammar import ACTIONS, SPOKEN_VERBS, THEN
from llm_envs.text.parser.lexicon import HANDS, WAY_0, Lexicon, Scene
from llm_envs.text.records import codes

MOST_GAMES = 4096  # whose words are remembered
WAY_NUMBERS = {0: 0, 3: 1, 6: 2, 7: 3}  # place in grammar.WAYS -> place in game.DIRECTIONS
# Actions that are no verb of the rules, and verbs that lack a thing: a reply is the whole answer.
ANSWERS = {
    "go": replies.NO_DIRECTION, "all": replies.BE_SPECIFIC, "exit": replies.NOT_INSIDE, "sit": replies.NO_NOUN,
    "wait": replies.WAITED, "help": replies.HELP, "goal": replies.GOAL, "score": replies.SCORE_SO_FAR,
    "smell": replies.SMELT, "listen": replies.HEARD, "taste": replies.TASTED, "touch": replies.FELT,
    "attack": replies.VIOLENCE, "no_use": replies.NO_USE, "look_under": replies.NOTHING_FOUND,
    "get_off": replies.NOT_UPON, "undress": replies.NOT_WORN, "drink_nothing": replies.NOT_DRINKABLE,
    "cut": replies.CUT_LITTLE, "cut_how": replies.CUT_HOW, "wear": replies.NOT_WEARABLE, "throw_at": replies.FUTILE,
    "no_use_unless_held": replies.NO_USE, "enter": replies.NOT_ENTERABLE,
}  # fmt: skip
OF_WAYS = {"examine": replies.NOTHING_THERE, "look_under": replies.NOTHING_FOUND}  # about directions
NEEDS_HELD = ("wear", "throw_at", "no_use_unless_held")
WRONG = {
    sentences.STUCK: replies.NO_SENSE, sentences.NO_CREATURE: replies.NOT_ANIMATE, sentences.UNSEEN: replies.CANT_SEE,
    sentences.NOT_SEVERAL: replies.NOT_MANY,
}  # fmt: skip


# Preposition -> a verb that has it, or one like it.
LINKING: dict[int | str, int] = {link: replies.VERB_WORDS.index(verb) for verb, link in replies.LINKS.items()}
LINKING |= {"onto": LINKING["on"], "inside": LINKING["into"], "off": LINKING["from"]}


class Parsed(NamedTuple):
    """What a command means, for `rules.take_turn`."""

    verb: int  # of records.codes, or VERBS + the number of the reply that is the whole answer
    x: int = codes.NONE  # thing, or direction of GO
    y: int = codes.NONE
    z: int = codes.NONE  # a verb in replies.VERB_WORDS, or a thing: of a reply, or the inferred noun
    inferred: int = 0  # number of the phrase that mentions the inferred noun, 0 for none


_lexicons: dict[int, Lexicon] = {}  # by level.key


def parse(text: str, symbols: SymbolTable, state: Any, level: Any) -> Parsed:
    """Return what a text means in a state of a game.

    Args:
        text: any text; what it has beyond 120 letters or 15 words is not read.
        symbols: the names of the game.
        state: the game's state, a record of `records.state.game_kind`.
        level: the game, a record of `records.state.level_kind`.
    """
    key = int(level["key"])
    lexicon = _lexicons.get(key)
    if lexicon is None:
        if len(_lexicons) >= MOST_GAMES:
            _lexicons.clear()
        lexicon = _lexicons[key] = Lexicon(symbols, level)
    # As the interpreter's input buffer does it: the line is cut before its words are.
    text = text[:LONGEST].lower()
    words = [cut_off(word) for word in WORD.findall(text)[:MOST_WORDS]]
    if not words:
        return answer(replies.PARDON)
    # "look." is one command.
    while len(words) > 1 and words[-1] in THEN:
        words.pop()
    if any(word in THEN for word in words[1:]):  # one command at a time
        return answer(replies.NO_SENSE)
    scene = Scene(lexicon, state)
    if words[0] not in lexicon.grammar:
        return walk(words, scene)
    reading = sentences.Reading(words, text, scene)
    for sentence in lexicon.grammar[words[0]]:
        wrong = reading.read(sentence)
        if wrong == sentences.DONE:
            return add_inferred(act(sentence.action, reading.things, scene), reading)
        # Of all that went wrong, the interpreter reports what came closest to a sentence.
        reading.best = max(reading.best, wrong)
        # The interpreter asks its question at once, without trying the sentences that are left.
        if wrong in (sentences.WHICH, sentences.INCOMPLETE):
            break
    return error(reading, words[0])


def answer(reply: int, x: int = codes.NONE, y: int = codes.NONE, z: int = codes.NONE) -> Parsed:
    """Return a reply that is the whole answer."""
    return Parsed(codes.VERBS + reply, x, y, z)


def walk(words: list[str], scene: Scene) -> Parsed:
    """Return the meaning of words that begin with no verb: a direction, or nothing."""
    for thing in scene.named(words[0]):
        if thing >= WAY_0:
            if scene.span(thing, words, 0) == len(words):
                return go(thing)
            # "north quickly": the direction was understood, what follows was not. Replies can name four directions.
            way = WAY_NUMBERS.get(thing - WAY_0)
            return answer(replies.NO_SENSE) if way is None else answer(replies.ONLY_WAY, way)
    return answer(replies.NO_VERB)


def go(way: int) -> Parsed:
    """Return the meaning of going in a direction; there is nothing up, down or askew."""
    number = WAY_NUMBERS.get(way - WAY_0)
    return answer(replies.NO_WAY) if number is None else Parsed(codes.GO, number)


def act(action: str, things: list[int], scene: Scene) -> Parsed:
    """Return the meaning of a sentence that was understood."""
    x, y = (*things, codes.NONE, codes.NONE)[:2]
    # One command acts on one thing here, whereas the interpreter carries out "take all" thing by thing.
    if sentences.MANY in things:
        return answer(replies.BE_SPECIFIC)
    if things and max(things) >= WAY_0:
        if action == "go":
            return go(x)
        return answer(OF_WAYS.get(action, replies.NO_THING))
    # Entering a door is going through it.
    if action == "enter" and scene.is_door(x):
        return Parsed(codes.GO, scene.lexicon.way_through(scene.room, x))
    if action == "search":
        return search(x, scene)
    if action == "push":
        return answer(replies.NOTHING_HAPPENS if scene.is_portable(x) else replies.IT_IS_FIXED)
    if action == "remove" and y != codes.NONE and scene.owner(x) != y:
        return answer(replies.NOT_THERE)
    # The interpreter checks this before the action's own refusal.
    if action in NEEDS_HELD and scene.owner(x) != HANDS:
        return answer(replies.TAKE_FIRST if scene.is_portable(x) else replies.X_FIXED, x)
    # A text that was read ("ask about ...") is no thing that a reply could name.
    if action in ANSWERS:
        return answer(ANSWERS[action], codes.NONE if x == sentences.TEXT_READ else x)
    return Parsed(ACTIONS[action], x, y)


def search(x: int, scene: Scene) -> Parsed:
    """Return the answer to a search of x."""
    if scene.is_portable(x) or scene.is_door(x):
        return answer(replies.NOTHING_FOUND)
    if not scene.shows_contents(x):
        return answer(replies.SHUT_IN, x)
    found = (replies.NONE_IN, replies.ONE_IN, replies.MANY_IN)
    if x in scene.lexicon.supporters:
        found = (replies.NONE_ON, replies.ONE_ON, replies.MANY_ON)
    return answer(found[min(len(scene.contents(x)), 2)], x)


def add_inferred(parsed: Parsed, reading: sentences.Reading) -> Parsed:
    """Add the inferred nouns: "(with the key)"; one of several that the words may name, "(the lamp)"; or both."""
    if reading.assumed < 0:
        return parsed
    mentioned = reading.pattern[reading.assumed :]
    things = [one for one in mentioned if isinstance(one, int) and 0 <= one < WAY_0]
    if not things:
        return parsed
    # Both nouns from the inferred one on: "(the lamp on the table)".
    if len(things) == 2:
        x, y = things
        if "in" in mentioned:
            return parsed._replace(x=x, y=y, inferred=replies.INFERRED_XY_IN)
        link = next((LINKING[one] for one in mentioned if one in LINKING), LINKING["with"])
        return parsed._replace(x=x, y=y, z=link, inferred=replies.INFERRED_XY)
    inferred = {"with": replies.INFERRED_WITH, "in": replies.INFERRED_IN}.get(str(mentioned[0]), replies.INFERRED)
    return parsed._replace(z=things[0], inferred=inferred)


def error(reading: sentences.Reading, verb: str) -> Parsed:
    """Return the answer to a command that was not understood."""
    if reading.best in WRONG:
        return answer(WRONG[reading.best])
    # Directions cannot stand in the question: registers of its template hold things.
    if reading.best == sentences.WHICH:
        return which([thing for thing in reading.choices if thing < WAY_0])
    spoken = SPOKEN_VERBS.get(verb, codes.NONE)
    # What was understood: before the words left over, or before the noun that is missing.
    pattern = reading.only if reading.best == sentences.ONLY else reading.pattern
    things = [one for one in pattern if isinstance(one, int)]
    if spoken == SPOKEN_VERBS["go"] and things and things[0] - WAY_0 in WAY_NUMBERS:
        return answer(replies.ONLY_WAY, WAY_NUMBERS[things[0] - WAY_0])
    # A verb, direction or text that no template can name.
    if spoken == codes.NONE or any(not 0 <= thing < WAY_0 for thing in things):
        return answer(replies.NO_SENSE)
    x, y = (*things, codes.NONE, codes.NONE)[:2]
    linked = replies.VERB_WORDS[spoken] in replies.LINKS
    if reading.best == sentences.INCOMPLETE:
        ask = replies.ASK_IN if reading.pattern[-1:] == ["in"] else replies.ASK_Y if linked else replies.ASK_X
        return answer(ask if things else replies.ASK_X, x, y, spoken)
    understood = (replies.ONLY_VERB, replies.ONLY_X, replies.ONLY_XY if linked else replies.ONLY_X)
    return answer(understood[len(things)], x, y, spoken)


def which(choices: list[int]) -> Parsed:
    """Return the question which of some things is meant."""
    if len(choices) < 2:
        return answer(replies.CANT_SEE)
    # A reply has three registers, so of more than three choices it names the first three.
    x, y, z = (*choices, codes.NONE)[:3]
    return answer(replies.WHICH if z == codes.NONE else replies.WHICH_OF_THREE, x, y, z)
