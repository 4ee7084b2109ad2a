"""The small languages of a story: names, conditions of quests, texts with conditions. Names become ids."""

import re
from collections.abc import Mapping

from llm_envs.text.formats.story.yaml_lines import Item, unknown
from llm_envs.text.model.game import PORTABLE, Fact, kind_of, place_fact
from llm_envs.text.model.limits import LONGEST_NAME, LONGEST_TEXT
from llm_envs.validation import quote

NAME = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*(?: [a-z0-9]+(?:['-][a-z0-9]+)*)*")
KEPT_WORDS = ("and", "from", "in", "into", "is", "on", "with")  # commands and conditions are read by them
ARTICLES = ("a", "an", "the")
PLAYER, HANDS = "player", "hands"
STATES = ("open", "closed", "locked")

PIECE = re.compile(r"\[([^][]*)\]")
LISTING = re.compile(r"a list of things (on|in) the (.+)")
CONTENTS = re.compile(r"there is (something|nothing) (on|in) the (.+)")
NO_CONTENTS = re.compile(r"the (.+) contains nothing")
STATE = re.compile(rf"(.+) is ({'|'.join(STATES)})")


def check_name(name: str, entry: Item) -> None:
    """Raise unless a room, door or thing can be called so."""
    words = name.split(" ")
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise entry.error(
            f"{quote(name)} cannot be a name; it must be lower-case words of letters, digits, inner ' and -, with "
            f"single spaces between them, of at most {LONGEST_NAME} characters",
            at_name=True,
        )
    wrong = [word for word in words if word in KEPT_WORDS] + [word for word in words[:1] if word in ARTICLES]
    if wrong:
        raise entry.error(f"{quote(name)} cannot be a name, because of the word {quote(wrong[0])}", at_name=True)
    if name in (PLAYER, HANDS):
        raise entry.error(f"{quote(name)} cannot be a name; conditions use it for the player's own", at_name=True)


def conditions(item: Item, ids: Mapping[str, str]) -> tuple[tuple[Fact, ...], ...]:
    """Read a quest's `win` or `fail`: a text, or a list of texts of which one must hold.

    Args:
        item: What is written.
        ids: Name -> id, of rooms, doors and things.
    """
    pieces = item.items() if item.is_list else [item]
    if not pieces:
        raise item.error(f"{item.what} is empty")
    return tuple(_event(piece, ids) for piece in pieces)


def _event(item: Item, ids: Mapping[str, str]) -> tuple[Fact, ...]:
    facts: dict[str, Fact] = {}
    for part in " ".join(item.text().split()).split(" and "):
        fact = _condition(part, item, ids)
        if fact[1] in facts:
            raise item.error(
                f"{quote(part)}: there is another condition on the same thing already, and both cannot be met"
            )
        facts[fact[1]] = fact
    return tuple(facts.values())


def _condition(part: str, item: Item, ids: Mapping[str, str]) -> Fact:
    found = re.fullmatch(r"(.+?) (is|in|on) (.+)", part)
    if not found:
        forms = f"'THING in {HANDS}', '{PLAYER} in ROOM', 'THING is open', 'FOOD is eaten'"
        raise item.error(f"cannot read the condition {quote(part)}; it must be like 'THING in PLACE', "
                         f"'THING on SUPPORTER', {forms}")  # fmt: skip
    name, word, value = found.groups()
    subject = "P" if name == PLAYER else find(name, item, ids)
    kind = kind_of(subject)
    if word == "is":
        allowed = STATES if kind in ("c", "d") else ("eaten",) if kind == "f" else ()
        if value not in allowed:
            can = f"can be {', '.join(allowed)}" if allowed else "has no state"
            raise item.error(f"{quote(part)}: {name} {can}; only doors, containers and food have states")
        return (value, subject)
    holder = "I" if value == HANDS else find(value, item, ids)
    if subject == "P" and kind_of(holder) != "r":
        raise item.error(f"{quote(part)}: the player can only be in a room")
    if subject != "P" and kind not in PORTABLE:
        raise item.error(f"{quote(part)}: {quote(name)[1:-1]} cannot be moved, so that this never changes")
    if kind_of(holder) not in ("r", "c", "s", "I"):
        raise item.error(f"{quote(part)}: nothing can be in or on {quote(value)[1:-1]}")
    fact = place_fact(subject, holder)
    right = "on" if fact[0] == "on" else "in"
    if word != right:
        raise item.error(f"{quote(part)}: it must be '{name} {right} {value}'")
    return fact


def find(name: str, item: Item, ids: Mapping[str, str], kinds: tuple[str, ...] = (), what: str = "name") -> str:
    """Return the id of a name, of one of these types if any are given."""
    known = {known: one for known, one in ids.items() if not kinds or kind_of(one) in kinds}
    if name not in known:
        raise item.error(f"{item.what} has {unknown(what, name, known)}")
    return known[name]


def template(item: Item, ids: Mapping[str, str], own: str) -> str:
    """Read the text of a room, door or thing with id `own`, and put ids for the names in its square brackets.

    Raises:
        ValueError: names what in brackets is no part of the language, or names nothing that it can be said of.
    """
    text = item.prose(LONGEST_TEXT)
    if "[" in (rest := PIECE.sub("", text)) or "]" in rest:
        raise item.error(f"{item.what} has a square bracket without its other half")
    branch = ""  # of an [if ...]: "if" while further branches may follow, "otherwise" in the last
    for piece in PIECE.findall(text):
        if piece in ("otherwise", "end if") or piece.startswith("else if "):
            if not branch or (branch == "otherwise" and piece != "end if"):
                raise item.error(f"{item.what}: [{quote(piece)[1:-1]}] stands where no [if ...] is open for it")
            branch = {"otherwise": "otherwise", "end if": ""}.get(piece, branch)
        elif piece.startswith("if "):
            if branch:
                raise item.error(
                    f"{item.what}: [{quote(piece)[1:-1]}] stands inside another [if ...]; close that by [end if]"
                )
            branch = "if"
    if branch:
        raise item.error(f"{item.what}: an [if ...] is not closed by [end if]")
    return PIECE.sub(lambda found: f"[{_piece(found[1], item, ids, own)}]", text)


def _piece(piece: str, item: Item, ids: Mapping[str, str], own: str) -> str:
    """Return what stands in brackets, with ids for names."""
    if piece in ("otherwise", "end if") or (piece == "noun" and kind_of(own) != "r"):
        return piece
    for start in ("else if ", "if "):
        if piece.startswith(start):
            parts = piece.removeprefix(start).split(" and ")
            return start + " and ".join(_test(part, item, ids, own) for part in parts)
    if found := LISTING.fullmatch(piece):
        return f"a list of things {found[1]} the {_holder(found[2], found[1], item, ids)}"
    raise item.error(f"{item.what}: [{quote(piece)[1:-1]}] is none of [if ...], [else if ...], [otherwise], [end if], "
                     "[a list of things in the CONTAINER], [a list of things on the SUPPORTER] and, but for rooms, "
                     "[noun]")  # fmt: skip


def _test(part: str, item: Item, ids: Mapping[str, str], own: str) -> str:
    """Return a condition of a text, with ids for names."""
    if part in STATES and kind_of(own) in ("c", "d"):
        return part
    if found := CONTENTS.fullmatch(part):
        return f"there is {found[1]} {found[2]} the {_holder(found[3], found[2], item, ids)}"
    if found := NO_CONTENTS.fullmatch(part):
        return f"the {_holder(found[1], 'in', item, ids)} contains nothing"
    if found := STATE.fullmatch(part):
        return f"{find(found[1], item, ids, ('c', 'd'), 'door or container')} is {found[2]}"
    raise item.error(f"{item.what}: cannot read the condition {quote(part)}; it must be like 'DOOR is open', 'there is "
                     "something in the CONTAINER', 'there is nothing on the SUPPORTER', 'the CONTAINER contains "
                     "nothing' or, in the text of a door or container, 'open', 'closed', 'locked'")  # fmt: skip


def _holder(name: str, word: str, item: Item, ids: Mapping[str, str]) -> str:
    return find(name, item, ids, ("s",), "supporter") if word == "on" else find(name, item, ids, ("c",), "container")
