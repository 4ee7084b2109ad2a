"""The sentences that typed commands may be: verbs with their synonyms, prepositions, and what each sentence does.

They are those of Inform 7 (6M62) with TextWorld's own, in the order in which the interpreter tries them. The verbs of
the rules have theirs in the table of verbs, all others are here. A line is the words of a verb, a bar, and its
sentences: tokens, an arrow and an action of `llm_envs.text.parser.parser`; a line that begins with a bar continues the
one before. A token in small letters is a preposition or several to choose from; one in capitals stands for a thing:

    THING     any        HELD      rather one in the hands     CREATURE  a person: there are none
    THINGS    any        CARRIED   rather one in the hands     WAY       a direction
    OTHERS    any but the second thing                         TEXT      any words
    INSIDE    one in or on the second thing

THINGS, CARRIED, OTHERS and INSIDE may be several, which here are refused.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from llm_envs.text.language.dictionary import LETTERS
from llm_envs.text.language.replies import VERB_WORDS
from llm_envs.text.rules.table import VERBS

THING, HELD, CREATURE, THINGS, CARRIED, OTHERS, INSIDE, WAY, TEXT = range(9)
KINDS = {
    "THING": THING, "HELD": HELD, "CREATURE": CREATURE, "THINGS": THINGS, "CARRIED": CARRIED, "OTHERS": OTHERS,
    "INSIDE": INSIDE, "WAY": WAY, "TEXT": TEXT,
}  # fmt: skip

# Sentences of no verb of the rules: a reply is the whole answer, or they mean what a sentence of another verb means.
ANSWERED = """
shed doff disrobe | HELD > undress
wear don | HELD > wear
give pay offer feed | CREATURE HELD > give | HELD to CREATURE > give
show present display | CREATURE HELD > give | HELD to CREATURE > give
consult | THING on/about TEXT > no_use
enter cross | > sit | THING > enter
sit | on/in/inside THING > enter | on top of THING > enter
stand | > exit | up > exit | on THING > enter
exit leave out | > exit
yes y no sorry think | > no_use
search | THING > search
wave | > no_use | THING > no_use_unless_held
set adjust | THING to TEXT > no_use
pull drag | THING > push
push move shift clear press | THING > push | THING WAY > no_use | THING to WAY > no_use
turn rotate twist unscrew screw | THING > push | THING on > no_use | on THING > no_use | THING off > no_use
    | off THING > no_use
switch | THING > no_use | on THING > no_use | THING on > no_use | THING off > no_use | off THING > no_use
attack break smash hit fight torture wreck crack destroy murder kill punch thump | THING > attack
wait z | > wait
answer say shout speak | TEXT to CREATURE > no_use
tell | CREATURE about TEXT > no_use
ask | CREATURE for THING > no_use | CREATURE about TEXT > no_use
sleep nap jump skip hop | > no_use
climb scale | THING > no_use | up/over THING > no_use
buy purchase squeeze squash | THING > no_use
swing | THING > no_use | on THING > no_use
wake awake awaken | > no_use | up > no_use | CREATURE > no_use | CREATURE up > no_use | up CREATURE > no_use
kiss embrace hug | CREATURE > no_use
smell sniff | > smell | THING > smell
listen | > listen | to THING > listen
hear | THING > listen
taste | THING > taste
touch feel | THING > touch
rub shine polish sweep clean dust wipe scrub burn light | THING > no_use
tie attach fasten | THING to THING > no_use
score | > score
goal | > goal
help | > help
"""
NOT_COOKING = """

drink swallow sip | THING > drink_nothing
cut slice prune chop | THING > cut
"""
COOKING = """
cut prune | THING > cut_how
"""

SYNONYMS = {"pick": ("take",), "sit": ("enter",), "read": ("examine",)}  # used in replies to these verbs
EVERYTHING = ("all", "each", "every", "everythin", "both")  # the interpreter knows a word by 9 letters
AND = ("and", "but", "except", ",")
THEN = ("then", ".")
# Words skipped before a noun; True where any one of those that match will do.
ARTICLES = {"the": False, "a": True, "an": True, "some": True, "my": True, "this": True, "that": True, "these": True,
            "those": True, "its": True}  # fmt: skip
WAYS = ("north", "northeast", "northwest", "south", "southeast", "southwest", "east", "west", "up", "down", "inside",
        "outside")  # fmt: skip
SHORT_WAYS = ("n", "ne", "nw", "s", "se", "sw", "e", "w", "u", "d", "in", "out")


class Sentence(NamedTuple):
    """One pattern of a command after its verb."""

    tokens: tuple[int | tuple[str, ...], ...]  # kinds of things, or prepositions to choose from
    action: str
    things: int  # how many of the tokens stand for things
    ahead: tuple[str, ...]  # prepositions before the second thing, when the first cannot be read without it


Grammar = dict[str, tuple[Sentence, ...]]


def _sentence(text: str) -> Sentence:
    pattern, _, action = text.partition(">")
    words = pattern.split()
    # Typed words are cut off (language.dictionary), so the words that they are compared with are too.
    choices = [tuple(one[:LETTERS] for one in word.split("/")) for word in words]
    tokens = tuple(KINDS.get(word, choice) for word, choice in zip(words, choices, strict=True))
    # OTHERS and INSIDE are always followed by the preposition of the second thing.
    ahead = choices[1] if tokens and tokens[0] in (OTHERS, INSIDE) else ()
    return Sentence(tokens, action.strip(), sum(word in KINDS for word in words), ahead)


def _lines(*tables: str) -> Iterator[tuple[list[str], tuple[Sentence, ...]]]:
    for table in tables:
        joined = re.sub(r"\s*\n\s*\|", " |", table)  # a line that begins with a bar continues the one before
        for line in joined.strip().splitlines():
            verbs, *patterns = line.split("|")
            yield verbs.split(), tuple(map(_sentence, patterns))


def _grammar(*tables: str) -> Grammar:
    return {verb[:LETTERS]: sentences for verbs, sentences in _lines(*tables) for verb in verbs}


def _spoken_verbs(*tables: str) -> dict[str, int]:
    """Return which of `replies.VERB_WORDS` replies use for a typed verb: the verb itself, or a synonym."""
    spoken = {}
    for verbs, _ in _lines(*tables):
        # A reply repeats the player's verb if it has a word for it, else the first synonym that it has.
        known = [verb for verb in (*verbs, *SYNONYMS.get(verbs[0], ())) if verb in VERB_WORDS]
        for verb in verbs if known else ():
            spoken[verb[:LETTERS]] = VERB_WORDS.index(verb if verb in known else known[0])
    return spoken


# Of two lines for the same word the later one holds: a row of the table takes the place of an answer.
COMMON = (ANSWERED, *(verb.grammar for verb in VERBS if not verb.cooking))
COOKED = (COOKING, *(verb.grammar for verb in VERBS if verb.cooking))
BASE_GRAMMAR, COOKING_GRAMMAR = _grammar(NOT_COOKING, *COMMON), _grammar(*COMMON, *COOKED)
SPOKEN_VERBS = _spoken_verbs(NOT_COOKING, *COMMON, *COOKED)
ACTIONS = {action: verb.code for verb in VERBS for action in verb.actions}  # action of a sentence -> verb of the rules
PREPOSITIONS = frozenset(
    word
    for sentences in COOKING_GRAMMAR.values()
    for sentence in sentences
    for token in sentence.tokens
    if isinstance(token, tuple)
    for word in token
)
