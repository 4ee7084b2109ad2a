"""Writes a game's texts into its level: names, descriptions, commands, as code and as runs of tokens."""

import numpy as np

from llm_envs.text.language import phrases, program
from llm_envs.text.language.pieces import CONTINUATION, HEADER, Vocabulary, split
from llm_envs.text.language.templates import Template
from llm_envs.text.model.game import CONTAINERS, FIXED, SUPPORTERS, Game, kind_of
from llm_envs.text.records.numbering import Numbers
from llm_envs.text.records.state import TABLES, too_large

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
        # Inform prints the names of rooms in title case.
        titles = [game.things[room].name.title() for room in numbers.rooms]
        self.names = [_name(thing, name) for thing, name in names.items()]
        self.names += [_name(room, title) for room, title in zip(numbers.rooms, titles, strict=True)]
        self.articles = [_article(game, thing) for thing in numbers.things]
        self.commands = [tuple(split(command)) for command in numbers.commands]
        programs = [_describe_room(game, numbers, room) for room in numbers.rooms]
        programs += [_describe_thing(game, numbers, thing) for thing in numbers.things]
        programs.append(Template(numbers))
        programs[-1].substitute(game.objective)
        code = sum(one.length for one in programs)
        if code > TABLES[-1]["code"]:  # said before runs of tokens are looked for in each other
            raise too_large(game.name, "code", code)
        literals = {literal.run for one in programs for literal in one.literals.values()}
        # A door's name, which no "the" precedes, attaches itself: the continuation of its first piece is in front.
        doors = {
            name: (CONTINUATION + name[0], *name)
            for thing, name in zip(numbers.things, self.names, strict=False)
            if kind_of(thing) == "d"
        }
        # All runs of tokens of the level in one, in which equal or contained ones take space once.
        most = TABLES[-1]["tokens"]
        self.run, places = program.share({*literals, *self.names, *doors.values(), *self.commands}, most)
        if len(self.run) > most:
            raise too_large(game.name, "tokens", len(self.run))
        self.starts, self.code = [], list[int]()
        for one in programs:
            self.starts.append(len(phrases.CODE) + len(self.code))  # an address: those of replies come first
            self.code += one.assemble(self.starts[-1], places)
        # + 1: behind the continuation, which only a name that attaches uses.
        self.name_places = [places[doors[name]] + 1 if name in doors else places[name] for name in self.names]
        self.command_places = [places[command] for command in self.commands]
        # Things without an article have "".
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


def _describe_room(game: Game, numbers: Numbers, room: str) -> Template:
    """Return what `look` prints: the name, the text, and what lies on the floor."""
    description = Template(numbers, room)
    description.literal(HEADER.format(game.things[room].name.title()) + "\n")
    description.substitute(game.things[room].text)
    bare = description.test((program.HAS_SOME, numbers.holders[room]))
    description.literal("\n\nThere is ")
    description.contents(room)
    description.literal(" on the floor.")
    description.bind(bare)
    return description


def _describe_thing(game: Game, numbers: Numbers, thing: str) -> Template:
    """Return what `examine` prints: the text, and what is on a supporter or in an open container."""
    name, text = game.things[thing].name, game.things[thing].text
    description = Template(numbers, thing, name)
    description.substitute(text)
    ends = []
    if kind_of(thing) in FIXED:
        holder, lock = numbers.holders[thing], numbers.locks[thing]
        opened = [(program.IS_OPEN, lock)] if kind_of(thing) in CONTAINERS else []
        # Skipped unless it is open (a supporter always is) and there is something.
        bare = description.test(*opened, (program.HAS_SOME, holder))
        description.literal(f"\n\n{'On' if kind_of(thing) in SUPPORTERS else 'In'} the {name} ")
        description.is_or_are(thing)
        description.contents(thing)
        description.literal(".")
        ends.append(description.jump())
        description.bind(bare)
        # A text of the game's own describes an empty container itself.
        if opened and not text.strip():
            shut = description.test(*opened)
            description.literal(f"The {name} is empty.")
            ends.append(description.jump())
            description.bind(shut)
    if not text.strip():
        description.literal(f"You see nothing special about {'' if kind_of(thing) == 'd' else 'the '}")
        description.printed_name(thing, name)
        description.literal(".")
    description.bind(*ends)
    return description
