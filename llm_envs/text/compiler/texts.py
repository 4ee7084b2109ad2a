"""Writes a game's texts into its level: names, descriptions, commands, as code and as runs of tokens."""

from collections.abc import Iterable

import numpy as np

from llm_envs.text.language.pieces import CONTINUATION, HEADER, Vocabulary, split
from llm_envs.text.language.templates import HAS_SOME, IS_OPEN, LITERAL, Script, assemble
from llm_envs.text.model.game import CONTAINERS, FIXED, SUPPORTERS, Game, kind_of
from llm_envs.text.records.numbering import Numbers

LONGEST_NAME = 64  # pieces


class Texts:
    """The texts of one game, compiled but for the numbers of tokens.

    Attributes:
        needs: how much space they take in a level: field -> numbers.
        pieces: all pieces that they can print, apart from `llm_envs.text.language.pieces.FIXED`.

    Raises:
        ValueError: a name or text cannot be compiled; names the thing.
    """

    def __init__(self, game: Game, numbers: Numbers) -> None:
        names = {thing: game.things[thing].name for thing in numbers.things}
        titles = [game.things[room].name.title() for room in numbers.rooms]
        self.names = [_name(thing, name) for thing, name in names.items()]
        self.names += [_name(room, title) for room, title in zip(numbers.rooms, titles, strict=True)]
        self.articles = [_article(game, thing) for thing in numbers.things]
        self.commands = [tuple(split(command)) for command in numbers.commands]
        scripts = [_describe_room(game, numbers, room) for room in numbers.rooms]
        scripts += [_describe_thing(game, numbers, thing) for thing in numbers.things]
        objective = Script(numbers)
        objective.template(game.objective)
        laid = [script.instructions() for script in (*scripts, objective)]
        literals = {operands for one in laid for _, op, operands in one if op == LITERAL and operands}
        # Before a door's name, which has no "the", stands the glued form of its first piece.
        doors = [name for thing, name in zip(numbers.things, self.names, strict=False) if kind_of(thing) == "d"]
        glued = {name: (CONTINUATION + name[0], *name) for name in doors}
        self.run, places = _share({*literals, *self.names, *glued.values(), *self.commands})
        self.starts, self.code = [], list[int]()
        for one in laid:
            self.starts.append(len(self.code))
            self.code += assemble(one, len(self.code), places)
        self.name_places = [places[glued[name]] + 1 if name in glued else places[name] for name in self.names]
        self.command_places = [places[command] for command in self.commands]
        self.pieces = {*self.run, *self.articles} - {""}
        self.needs = {"code": len(self.code), "tokens": len(self.run)}
        self.rooms = len(numbers.rooms)

    def write(self, level: np.void, vocabulary: Vocabulary) -> None:
        """Fill the texts of a level."""
        ids, names, commands = vocabulary.ids, len(self.names), len(self.commands)
        level["name"][:names], level["name_words"][:names] = self.name_places, list(map(len, self.names))
        level["article"][: len(self.articles)] = [ids[article] if article else 0 for article in self.articles]
        level["room_text"][: self.rooms] = self.starts[: self.rooms]
        level["thing_text"][: len(self.articles)] = self.starts[self.rooms : -1]
        level["objective"] = self.starts[-1]
        level["code"][: len(self.code)] = self.code
        level["tokens"][: len(self.run)] = [ids[piece] for piece in self.run]
        level["command_text"][:commands] = self.command_places
        level["command_words"][:commands] = list(map(len, self.commands))


def _name(thing: str, name: str) -> tuple[str, ...]:
    pieces = tuple(split(name))
    if not 0 < len(pieces) <= LONGEST_NAME:
        raise ValueError(f"the name of {thing} has {len(pieces)} words and marks; it must have 1 to {LONGEST_NAME}")
    return pieces


def _article(game: Game, thing: str) -> str:
    """Return the piece that comes before a name in lists; doors have none, which also keeps "the" from their names."""
    if kind_of(thing) == "d":
        return ""
    pieces = split(game.things[thing].indefinite)
    if len(pieces) > 1:
        raise ValueError(f"the indefinite article of {thing} is {' '.join(pieces)!r}; it must be a single word")
    return pieces[0] if pieces else "an" if game.things[thing].name[0] in "aeiouAEIOU" else "a"


def _describe_room(game: Game, numbers: Numbers, room: str) -> Script:
    """Return what `look` prints: the name, the text, and what lies on the floor."""
    script = Script(numbers, room)
    script.say(HEADER.format(game.things[room].name.title()) + "\n")
    script.template(game.things[room].text)
    bare = script.test((HAS_SOME, numbers.holders[room]))
    script.say("\n\nThere is ")
    script.contents(room)
    script.say(" on the floor.")
    script.land(bare)
    return script


def _describe_thing(game: Game, numbers: Numbers, thing: str) -> Script:
    """Return what `examine` prints: the text, and what is on a supporter or in an open container."""
    name, text = game.things[thing].name, game.things[thing].text
    script = Script(numbers, thing, name)
    script.template(text)
    ends = []
    if kind_of(thing) in FIXED:
        holder, lock = numbers.holders[thing], numbers.locks[thing]
        opened = [(IS_OPEN, lock)] if kind_of(thing) in CONTAINERS else []
        bare = script.test(*opened, (HAS_SOME, holder))
        script.say(f"\n\n{'On' if kind_of(thing) in SUPPORTERS else 'In'} the {name} ")
        script.is_or_are(thing)
        script.contents(thing)
        script.say(".")
        ends.append(script.jump())
        script.land(bare)
        if opened and not text.strip():
            shut = script.test(*opened)
            script.say(f"The {name} is empty.")
            ends.append(script.jump())
            script.land(shut)
    if not text.strip():
        script.say(f"You see nothing special about {'' if kind_of(thing) == 'd' else 'the '}")
        script.noun(thing, name)
        script.say(".")
    script.land(*ends)
    return script


def _share(runs: Iterable[tuple[str, ...]]) -> tuple[list[str], dict[tuple[str, ...], int]]:
    """Return one run of pieces that contains all of these, and where each is; a part of another takes no space."""
    letters: dict[str, str] = {}
    whole, places = "", {}
    for run in sorted(runs, key=lambda run: (-len(run), run)):
        text = "".join([letters.setdefault(piece, chr(len(letters) + 1)) for piece in run])
        at = whole.find(text)
        if at < 0:
            at = len(whole)
            whole += text
        places[run] = at
    pieces = list(letters)
    return [pieces[ord(letter) - 1] for letter in whole], places
