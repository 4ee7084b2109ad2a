"""Reads a story, a game that a user wrote in YAML, into a `Game`. The format is documented in docs/guide/stories.md."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from llm_envs.text.authoring.builder import OPENERS, Maker
from llm_envs.text.formats.story import phrases as story_words
from llm_envs.text.formats.story.exits import join_rooms, state_of
from llm_envs.text.formats.story.phrases import HANDS
from llm_envs.text.formats.story.yaml_lines import LARGEST, Item, read
from llm_envs.text.model.game import Game, Quest, kind_of
from llm_envs.text.model.limits import LARGEST_REWARD, LONGEST_NAME, LONGEST_TEXT
from llm_envs.text.model.reachability import Reach
from llm_envs.text.model.validation import check
from llm_envs.validation import check_path, printable, quote

STORY = ("name", "objective", "start", "hands", "rooms", "doors", "things", "quests", "walkthrough")
ROOM = ("text", "exits", "contents", "complete")
DOOR = ("state", "key", "text")
QUEST = ("win", "fail", "reward", "optional")
KINDS = {"portable": "o", "food": "f", "key": "k", "container": "c", "supporter": "s"}
ARTICLES = ("some", "the")
THING = {  # id's type -> entries
    "o": ("is", "text", "article"),
    "f": ("is", "text", "article"),
    "k": ("is", "text", "article"),
    "c": ("is", "text", "contents", "state", "key"),
    "s": ("is", "text", "contents"),
}


def load_story(text_or_path: str | os.PathLike, source: str = "") -> Game:
    """Read a story.

    Args:
        text_or_path: The YAML text, where it has more than one line; else the file's path.
        source: How errors call it; empty for the path, or "story" for a text.

    Raises:
        ValueError: names the file, line and column, what stands there and what may. Files that cannot be read too.
        TypeError: It is neither a string nor a path.
        ModuleNotFoundError: PyYAML is not installed.
    """
    if not isinstance(text_or_path, (str, os.PathLike)):
        raise TypeError(f"a story is a YAML text or a path, not {quote(text_or_path)}")
    if isinstance(text_or_path, str) and "\n" in text_or_path:
        return _Story(read(text_or_path, source or "story"), "story").game()
    path = Path(text_or_path)
    check_path("a story", path)
    try:
        with path.open("rb") as file:
            raw = file.read(4 * LARGEST + 1)  # as many bytes as the longest story can have, and one more
        text = raw.decode() if len(raw) <= 4 * LARGEST else raw.decode(errors="replace")  # then `read` refuses it
    except OSError as error:
        raise ValueError(printable(f"{path}: cannot be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        raise ValueError(printable(f"{path}: is no UTF-8 text: byte {error.start}: {error.reason}")) from None
    return _Story(read(text, source or str(path)), path.stem).game()


class _Story:
    """A story as it is read. Names of all sections are known before anything refers to them."""

    def __init__(self, item: Item, name: str) -> None:
        self.source = item.source
        self.top = item.entries(STORY, ("start", "rooms", "quests"))
        self.maker = Maker(name, "base", np.random.default_rng(0))
        self.named: dict[str, Item] = {}  # name -> its entry, of rooms, doors and things
        self.ids: dict[str, str] = {}
        self.sections = {section: self._section(section) for section in ("rooms", "doors", "things")}
        self.places: dict[str, tuple[str, Item]] = {}  # thing -> name of its place, and where that is written

    def game(self) -> Game:
        """Return the game; the order of what follows is that of what needs what."""
        if "name" in self.top:
            self.maker.name = self.top["name"].prose(LONGEST_NAME)
        if not self.sections["rooms"]:
            raise self.top["rooms"].error("there is no room")
        for name in self.sections["rooms"]:
            self.ids[name] = self.maker.room(name)
        start = self.top["start"].name(self.sections["rooms"], "room")
        self.maker.start(self.ids[start])
        join_rooms(self.maker, self.ids, self.sections["rooms"], self.sections["doors"], self.named)
        self._place()
        self._things()
        self._keys()
        self._texts()
        self._quests()
        commands = self.top["walkthrough"].items() if "walkthrough" in self.top else []
        game = self.maker.game(self._objective(), [command.prose(LONGEST_TEXT) for command in commands])
        self._reach(game, start)
        check(game, self.source)
        return game

    def _section(self, section: str) -> dict[str, dict[str, Item]]:
        """Return the entries of each name of a section; keep the names, each of which must be new."""
        found = {}
        for name, entry in self.top[section].entries().items() if section in self.top else ():
            story_words.check_name(name, entry)
            if name in self.named:
                raise entry.error(f"{name!r} is a name already, on line {self.named[name].line}", at_name=True)
            self.named[name] = entry
            allowed = {"rooms": ROOM, "doors": DOOR}.get(section) or THING[_kind(entry)]
            found[name] = {"is": entry} if section == "things" and entry.is_word else entry.entries(allowed)
        return found

    def _place(self) -> None:
        """Note where each thing is: its place's name, and where that is written."""
        things = self.sections["things"]
        lists = [("", self.top["hands"])] if "hands" in self.top else []
        lists += [(name, parts["contents"]) for section in ("rooms", "things")
                  for name, parts in self.sections[section].items() if "contents" in parts]  # fmt: skip
        for holder, item in lists:
            for entry in item.items():
                name = entry.name(things, "thing")
                if name in self.places:
                    raise entry.error(f"{name!r} has a place already, on line {self.places[name][1].line}")
                if _kind(self.named[name]) in ("c", "s") and holder not in self.sections["rooms"]:
                    raise entry.error(f"{name!r} is a {_is(self.named[name])}; its place can only be a room")
                self.places[name] = (holder, entry)
        for name in things:
            if name not in self.places:
                raise self.named[name].error(
                    f"{name!r} is nowhere; name it in the contents of a room, container or supporter, or in {HANDS}",
                    at_name=True,
                )

    def _things(self) -> None:
        """Make the things: first what stands in rooms, then what can be carried."""
        things = self.sections["things"]
        for name, parts in things.items():
            if (kind := _kind(self.named[name])) in ("c", "s"):
                lock = state_of(parts) if kind == "c" else ""
                self.ids[name] = self.maker.fix(kind, name, self.ids[self.places[name][0]], lock)
        for name, parts in things.items():
            if (kind := _kind(self.named[name])) not in ("c", "s"):
                holder = self.places[name][0]
                place = self.ids[holder] if holder else "I"
                article = parts["article"].choice(ARTICLES) if "article" in parts else ""
                self.ids[name] = self.maker.put(
                    kind,
                    name,
                    place,
                    text=f"There is nothing special about the {name}.",
                    indefinite=article,
                    traits=["edible"] if kind == "f" else [],
                )

    def _keys(self) -> None:
        """Match doors and containers with their keys."""
        keys = [name for name in self.sections["things"] if _kind(self.named[name]) == "k"]
        for section in ("doors", "things"):
            for name, parts in self.sections[section].items():
                if "key" in parts:
                    key = parts["key"].name(keys, "key")
                    self.maker.say("match", self.ids[key], self.ids[name])

    def _texts(self) -> None:
        """Put the texts that are written in place of the maker's own."""
        for section in self.sections.values():
            for name, parts in section.items():
                one = self.ids[name]
                complete = parts["complete"].flag() if "complete" in parts else False
                if complete and "text" not in parts:
                    raise parts["complete"].error(f"room {name!r} has no text that could be complete")
                if "text" in parts:
                    text = story_words.template(parts["text"], self.ids, one)
                    if kind_of(one) == "r" and not complete:
                        text = f"{text}{self._surroundings(one)}"
                    self.maker.things[one] = replace(self.maker.things[one], text=text)

    def _surroundings(self, room: str) -> str:
        """Return what the maker says of a room's furniture and exits: its description without the opening."""
        described, name = self.maker.describe(room), self.maker.things[room].name
        return described.removeprefix(next(o for o in (o.format(name) for o in OPENERS) if described.startswith(o)))

    def _objective(self) -> str:
        if "objective" not in self.top:
            return ""
        item = self.top["objective"]
        text = item.prose(LONGEST_TEXT)
        if "[" in text or "]" in text:
            raise item.error("the objective is plain text, without square brackets")
        return text

    def _quests(self) -> None:
        """Make the quests; what is decided before the first command is refused."""
        facts = set(self.maker.facts)
        for item in self.top["quests"].items():
            parts = item.entries(QUEST)
            if not parts.keys() & {"win", "fail"}:
                raise item.error(f"{item.what} needs an entry 'win' or 'fail'")
            events = {}
            for when in ("win", "fail"):
                events[when] = story_words.conditions(parts[when], self.ids) if when in parts else ()
                if any(facts.issuperset(event) for event in events[when]):
                    raise parts[when].error(f"{parts[when].what} holds at the start already")
            for entry in ("reward", "optional"):
                if entry in parts and "win" not in parts:
                    raise parts[entry].error(f"{item.what} has no 'win', so that {entry!r} means nothing", at_name=True)
            reward = parts["reward"].number(0, LARGEST_REWARD) if "reward" in parts else 1
            optional = parts["optional"].flag() if "optional" in parts else False
            self.maker.quests.append(Quest(events["win"], events["fail"], reward, optional))
        if not any(quest.win and not quest.optional for quest in self.maker.quests):
            raise self.top["quests"].error("no quest has 'win' without being optional, so that nothing wins the game")

    def _reach(self, game: Game, start: str) -> None:
        """Raise if a room cannot be reached, or a quest not be done; what needs thought is not found out."""
        rooms = Reach(game, locks=False).rooms
        for name in self.sections["rooms"]:
            if self.ids[name] not in rooms:
                raise self.named[name].error(f"no way leads from {start!r} to {name!r}", at_name=True)
        reach = Reach(game)
        for item, quest in zip(self.top["quests"].items(), game.quests, strict=True):
            if quest.win and not any(map(reach.can_hold_all, quest.win)):
                name, *ids = next(fact for event in quest.win for fact in event if not reach.can_hold(fact))
                names = {"P": "player", "I": HANDS} | {one: thing.name for one, thing in game.things.items()}
                words = [names[one] for one in ids]
                goal = (
                    f"{words[0]} {'in' if name == 'at' else name} {words[1]}" if words[1:] else f"{words[0]} is {name}"
                )
                raise item.entries()["win"].error(f"{item.what} cannot be won: {goal!r} is out of reach")


def _is(entry: Item) -> str:
    """Return what a thing is, of KINDS: its entry `is`, or the whole of it, as in `apple: food`."""
    if entry.is_word:
        return entry.choice(KINDS)
    if entry.is_entries:
        for key, value in entry.node.value:
            if key.value == "is":
                return Item(value, entry.source, f"{entry.what} > is").choice(KINDS)
    return "portable"


def _kind(entry: Item) -> str:
    """Return the type of a thing's id."""
    return KINDS[_is(entry)]
