"""What words name: the names of a game's things, and which of these the player can see."""

from typing import Any

from llm_envs.text.compiler.symbols import SymbolTable
from llm_envs.text.language.dictionary import LETTERS, cut_off, words_of
from llm_envs.text.parser import grammar
from llm_envs.text.records import codes

HANDS, FLOOR = -1, -2  # owners, beside the things on or in which a thing is
WAY_0 = 1000  # a direction stands among things as WAY_0 + its place in grammar.WAYS
HEATS = {
    "raw": 0,
    "grilled": codes.GRILLED,
    "roasted": codes.ROASTED,
    "fried": codes.FRIED,
}  # words for food as it is now
CUTS = {"uncut": codes.UNCUT, "sliced": codes.SLICED, "diced": codes.DICED, "chopped": codes.CHOPPED}


class Lexicon:
    """The words of one game, and what of it never changes."""

    def __init__(self, symbols: SymbolTable, level: Any) -> None:
        numbers, things = symbols.numbers, symbols.game.things
        self.cooking = symbols.game.theme.startswith("cooking")
        self.grammar = grammar.COOKING_GRAMMAR if self.cooking else grammar.BASE_GRAMMAR
        self.names = [things[thing].name for thing in numbers.things]
        self.portables, self.fixed, self.rooms = len(numbers.portables), len(numbers.fixed), len(numbers.rooms)
        self.phrases: list[tuple[list[str], ...]] = []
        self.singles: list[frozenset[str]] = []
        self.by_word: dict[str, list[int]] = {}
        for k, thing in enumerate(numbers.things):
            self._name(k, (*things[thing].synonyms, things[thing].name), things[thing].name)
        for k, words in enumerate(zip(grammar.WAYS, grammar.SHORT_WAYS, strict=True)):
            for word in words:
                self.by_word.setdefault(word[:LETTERS], []).append(WAY_0 + k)
        # As Python's lists here and in Scene: the parser reads single numbers, slow from NumPy's arrays.
        traits = level["traits"].tolist()
        self.foods = [k for k in range(self.portables) if self.cooking and traits[k] & codes.FOOD]
        self.blades = {k for k in range(self.portables) if traits[k] & codes.SHARP}
        kinds = level["kind"].tolist()
        self.supporters = {self.portables + k for k in range(self.fixed) if kinds[k] in (codes.SUPPORTER, codes.STOVE)}
        self.start_holder: list[int] = level["start_holder"].tolist()
        self.exits: list[list[int]] = level["exits"].tolist()
        self.exit_doors: list[list[int]] = level["exit_doors"].tolist()
        self.fixed_here: list[list[int]] = [[] for _ in range(self.rooms)]
        for k, place in enumerate(level["place"].tolist()[: self.fixed]):
            if place != codes.NONE:
                self.fixed_here[place].append(self.portables + k)
        first_door = self.portables + self.fixed
        self.doors_here = [sorted(first_door + k for k in doors if k != codes.NONE) for doors in self.exit_doors]

    def _name(self, thing: int, names: tuple[str, ...], name: str) -> None:
        lists = [[cut_off(word) for word in one.lower().split()] for one in names]
        # Of its name a thing knows every word, of its synonyms only the whole: "recipe", not each word of a phrase.
        singles = words_of(name) | {words[0] for words in lists if len(words) == 1}
        # The longest first: `span` takes the first that fits.
        phrases = tuple(sorted((words for words in lists if len(words) > 1), key=len, reverse=True))
        self.phrases.append(phrases)
        self.singles.append(frozenset(singles))
        # An index by the words with which a mention can begin.
        for word in singles | {words[0] for words in phrases}:
            self.by_word.setdefault(word, []).append(thing)

    def name(self, thing: int) -> str:
        """Return the name of a thing or direction."""
        return grammar.WAYS[thing - WAY_0] if thing >= WAY_0 else self.names[thing]

    def way_through(self, room: int, door: int) -> int:
        """Return the direction in which a door, by its thing number, leads out of a room."""
        return self.exit_doors[room].index(door - self.portables - self.fixed)


class Scene:
    """What the player can see now."""

    __slots__ = ("holder", "lexicon", "lock", "owners", "room", "state")

    def __init__(self, lexicon: Lexicon, state: Any) -> None:
        self.lexicon, self.state, self.room = lexicon, state, int(state["room"])
        self.holder: list[int] = state["holder"].tolist()
        self.lock: list[int] = state["lock"].tolist()
        inside = lexicon.rooms - lexicon.portables  # from a fixed thing to its number as a holder
        self.owners = {self.room: FLOOR, lexicon.rooms + lexicon.fixed: HANDS}
        # Only holders in sight get an owner, so what is shut in has none.
        for thing in lexicon.fixed_here[self.room]:
            if self.shows_contents(thing):
                self.owners[inside + thing] = thing

    def shows_contents(self, fixed: int) -> bool:
        """Return whether things on or in a fixed thing can be seen."""
        return fixed in self.lexicon.supporters or self.lock[fixed - self.lexicon.portables] in (codes.OPEN, codes.AJAR)

    def is_portable(self, thing: int) -> bool:
        """Return whether a thing can be carried."""
        return thing < self.lexicon.portables

    def is_door(self, thing: int) -> bool:
        """Return whether a thing is a door."""
        return self.lexicon.portables + self.lexicon.fixed <= thing < WAY_0

    def owner(self, thing: int) -> int | None:
        """Return where a thing is: HANDS, FLOOR (of all that is fixed, too), or a fixed thing; None if out of sight."""
        if thing < self.lexicon.portables:
            return self.owners.get(self.holder[thing])
        lexicon = self.lexicon
        here = lexicon.fixed_here if thing < lexicon.portables + lexicon.fixed else lexicon.doors_here
        return FLOOR if thing in here[self.room] else None

    def is_so(self, food: int, word: str) -> bool:
        """Return whether a word names the state of a food: how it is cut or cooked."""
        # HEATS has 0 for "raw": food that nothing has heated.
        if word in HEATS:
            return bool(int(self.state["food"][food]) & codes.HEAT == HEATS[word])
        return word in CUTS and bool(max(int(self.state["cut"][food]) & codes.CUT, codes.UNCUT) == CUTS[word])

    def named(self, word: str) -> list[int]:
        """Return the things of the game, seen or not, that a word can begin the name of."""
        things = self.lexicon.by_word.get(word, [])
        # Adjectives that change with the state, and so are in no index.
        if word in HEATS or word in CUTS:
            things = things + [food for food in self.lexicon.foods if food not in things and self.is_so(food, word)]
        return things

    def span(self, thing: int, words: list[str], start: int) -> int:
        """Return how many words from `start` on name a thing."""
        # Repeated words of one direction are one noun, as repeated words of a name are.
        if thing >= WAY_0:
            end = start + 1
            while end < len(words) and thing in self.lexicon.by_word.get(words[end], ()):
                end += 1
            return end - start
        phrases, singles, at = self.lexicon.phrases[thing], self.lexicon.singles[thing], start
        while at < len(words):
            for phrase in phrases:
                if words[at : at + len(phrase)] == phrase:
                    at += len(phrase)
                    break
            else:
                if words[at] not in singles and not (thing in self.lexicon.foods and self.is_so(thing, words[at])):
                    break
                at += 1
        return at - start

    def contents(self, owner: int) -> list[int]:
        """Return the portable things there, in order of lists."""
        lexicon = self.lexicon
        holder = {HANDS: lexicon.rooms + lexicon.fixed, FLOOR: self.room}.get(
            owner, lexicon.rooms + owner - lexicon.portables
        )
        things, thing = [], int(self.state["first"][holder])
        while thing != codes.NONE:
            things.append(thing)
            thing = int(self.state["after"][thing])
        return things

    def order(self) -> list[int]:
        """Return all that can be seen, in about the interpreter's order: doors, what was put down, the rest, held."""
        # The Z-machine makes what is moved the first child of its new place: on the floor, what was put down comes
        # before what has lain there from the start.
        floor, start = self.contents(FLOOR), self.lexicon.start_holder
        things = [*self.lexicon.doors_here[self.room], *(thing for thing in floor if start[thing] != self.room)]
        for fixed in self.lexicon.fixed_here[self.room]:
            things += [fixed, *(self.contents(fixed) if self.shows_contents(fixed) else ())]
        things += [thing for thing in floor if start[thing] == self.room]
        return things + self.contents(HANDS)
