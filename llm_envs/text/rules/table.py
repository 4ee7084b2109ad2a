"""The table of verbs: for each, its code, its rule, its commands, and the sentences that may be typed for it.

From a row derive the commands of a game and their numbers (compiler.commands), the sentences that the parser tries and
what they mean (parser.grammar, parser.parser), the call of the rule (rules.turn), what a typed command must name
(interface.typed_actions), and, for verbs that are always admissible, their place in the list (rules.admissible). A new
verb is a code (records.codes), a row here, its rule, and the phrases of its replies (language.replies); when a verb
is admissible in some states only, rules.admissible says in which.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from llm_envs.text.language import replies
from llm_envs.text.records import codes
from llm_envs.text.rules.cooking import cook, cut_it, prepare
from llm_envs.text.rules.verbs import close_it, drink, drop, eat, go, insert, open_it, put, take, turn_key

GROUP = re.compile(r"{(\w+)}")  # in a form: of which things x, then y, is one


class Verb(NamedTuple):
    """A row of the table.

    A form is a command with a group of things in braces for each thing that it names: "drop {portable}". The groups are
    those of `compiler.commands.groups_of`; "{key}" after another one stands for the key that fits.

    A rule is a function of some of (state, level, x, y), `partial` of one that has further arguments, or the number of
    a reply, which is then all that the verb does.
    """

    code: int
    rule: Callable | int  # returns the number of a reply
    forms: tuple[str, ...]
    grammar: str  # lines as in llm_envs.text.parser.grammar
    actions: tuple[str, ...]  # of its sentences: those that mean this verb
    cooking: bool = False  # only in games of themes "cooking" and "cooking-drop"
    only_with: str = ""  # a type of thing without which a game does not have the verb
    always: bool = False  # is admissible in every state

    def groups(self) -> list[list[str]]:
        """Return, for each form, the groups of the things that it names."""
        return [GROUP.findall(form) for form in self.forms]

    def needs(self, place: int) -> bool:
        """Return whether every command of the verb names an x (place 0), or a y (place 1)."""
        return all(len(groups) > place for groups in self.groups())


VERBS = (
    Verb(
        codes.LOOK,
        replies.DESCRIPTION,
        ("look",),
        """
        look l | > look | THING > examine | at THING > examine | inside/in/into/through THING > search
            | under THING > look_under | up TEXT in THING > no_use
        """,
        ("look",),
        always=True,
    ),
    Verb(
        codes.INVENTORY, replies.CARRYING, ("inventory",), "inventory i inv | > inventory", ("inventory",), always=True
    ),
    Verb(
        codes.PREPARE,
        prepare,
        ("prepare meal",),
        "prepare | meal > prepare",
        ("prepare",),
        cooking=True,
        only_with="meal",
    ),
    Verb(
        codes.GO,
        go,
        ("go {way}",),
        "go walk run | > go | WAY > go | THING > enter | into/in/inside/through THING > enter",
        ("go",),
    ),
    Verb(
        codes.EXAMINE,
        replies.EXAMINED,
        ("examine {thing}",),
        """
        examine x watch describe check | THING > examine
        read | THING > examine | about TEXT in THING > no_use | TEXT in THING > no_use
        """,
        ("examine",),
    ),
    Verb(
        codes.TAKE,
        take,
        ("take {portable}", "take {portable} from {fixed}"),
        """
        take carry hold | inventory > inventory | all/each/everything > all | THING > remove | THINGS > take
            | off THING > undress | THING off > undress | INSIDE from THING > remove | INSIDE off THING > remove
        get | out/off/down/up > exit | in/on > sit | all/each/everything > all | THINGS > take
            | in/into/on/onto THING > enter | off/down THING > get_off | INSIDE from THING > remove
        pick | up all/each/everything > all | up THINGS > take | THINGS up > take
        remove | HELD > undress | INSIDE from THING > remove
        """,
        ("take", "remove"),
    ),
    Verb(
        codes.DROP,
        drop,
        ("drop {portable}",),
        """
        drop throw discard | CARRIED > drop | HELD at/against THING > throw_at | OTHERS in/into/down THING > insert
            | OTHERS on/onto THING > put
        """,
        ("drop",),
    ),
    Verb(
        codes.PUT,
        put,
        ("put {portable} on {supporter}",),
        """
        put | on HELD > wear | HELD on > wear | down CARRIED > drop | CARRIED down > drop
            | OTHERS in/inside/into THING > insert | OTHERS on/onto THING > put
        """,
        ("put",),
    ),
    Verb(
        codes.INSERT,
        insert,
        ("insert {portable} into {container}",),
        "insert | OTHERS in/into THING > insert",
        ("insert",),
    ),
    Verb(
        codes.OPENING,
        open_it,
        ("open {lock}",),
        "open unwrap uncover | THING > open | THING with HELD > unlock",
        ("open",),
    ),
    Verb(
        codes.CLOSING,
        close_it,
        ("close {lock}",),
        "close shut cover | THING > close | up THING > close | off THING > no_use",
        ("close",),
    ),
    Verb(
        codes.LOCKING,
        partial(turn_key, locking=True),
        ("lock {lock} with {key}",),
        "lock | THING with HELD > lock",
        ("lock",),
    ),
    Verb(
        codes.UNLOCKING,
        partial(turn_key, locking=False),
        ("unlock {lock} with {key}",),
        "unlock | THING with HELD > unlock",
        ("unlock",),
    ),
    Verb(codes.EAT, eat, ("eat {food}",), "eat | HELD > eat", ("eat",)),
    Verb(codes.DRINK, drink, ("drink {drink}",), "drink swallow sip | THING > drink", ("drink",), cooking=True),
    Verb(
        codes.SLICE,
        partial(cut_it, how=codes.SLICED),
        ("slice {food} with {blade}",),
        "slice | THING with/using THING > slice",
        ("slice",),
        cooking=True,
    ),
    Verb(
        codes.DICE,
        partial(cut_it, how=codes.DICED),
        ("dice {food} with {blade}",),
        "dice | THING with/using THING > dice",
        ("dice",),
        cooking=True,
    ),
    Verb(
        codes.CHOP,
        partial(cut_it, how=codes.CHOPPED),
        ("chop {food} with {blade}",),
        "chop | THING with/using THING > chop",
        ("chop",),
        cooking=True,
    ),
    Verb(
        codes.COOK,
        cook,
        ("cook {food} with {heat}",),
        "cook | THING with/in/on/using THING > cook",
        ("cook",),
        cooking=True,
    ),
)
if [verb.code for verb in VERBS] != list(range(codes.VERBS)):
    raise RuntimeError("the table of verbs must have one row for each code, in their order")
