"""What a text game is, before it is compiled: things, facts, quests. Loaders and generators make it, all else reads it.

The vocabulary of facts is TextWorld's (Cote et al., 2018; textworld 1.7.0, `textworld/generator/data/logic`), so that a
game can be read from its files and written to them:

    at(P, r) the player; at(x, r) on the floor, or a fixed thing's room; on(x, s); in(x, c); in(x, I) held
    north_of(r, r') ... : r lies north of r'; free(r, r') one can pass, given for both ways
    link(r, d, r') door d joins them, given for both ways; open, closed, locked(c or d); match(k, c or d)
    edible, inedible, raw, needs_cooking, cooked, burned, roasted, fried, grilled, uncut, sliced, diced, chopped(f)
    eaten, consumed, used(f); cuttable, cookable, drinkable(f); sharp(o)
    cooking_location(r, RECIPE); ingredient_N(f); base(f, ingredient); in(ingredient, RECIPE); out(meal, RECIPE)
    free(slot), used(slot): places in the player's hands, in theme "cooking-drop"

An id is its type, an underscore and a number (`r_0`, `oven_1`), or one of P, I, RECIPE.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

Fact = tuple[str, ...]  # name and ids: ("in", "k_0", "c_1")

# In the order of records.codes.
THEMES = ("base", "coin", "cooking", "cooking-drop")  # which rules hold, see llm_envs.text.rules.turn
PORTABLE = ("f", "k", "meal", "o")  # types of what can be carried: food, key, meal, any other object
SUPPORTERS, CONTAINERS = ("s", "stove"), ("c", "oven", "toaster")  # types of what holds things on it, in it
FIXED = tuple(sorted((*SUPPORTERS, *CONTAINERS)))
DIRECTIONS = ("north", "south", "east", "west")
BACK = {"north": "south", "south": "north", "east": "west", "west": "east"}
# East and north are positive: (x, y) on a map with north at the top.
STEPS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}


@lru_cache(maxsize=65_536)
def kind_of(thing_id: str) -> str:
    """Return the type of an id: "oven" of "oven_0", "P" of "P"."""
    # Without an underscore (P, I, RECIPE) the first part is empty.
    return thing_id.rpartition("_")[0] or thing_id


def beside(cell: tuple[int, int], way: str) -> tuple[int, int]:
    """Return the next cell of a grid in a direction."""
    return cell[0] + STEPS[way][0], cell[1] + STEPS[way][1]


def place_fact(thing: str, holder: str) -> Fact:
    """Return the fact that a thing is in a room, on a supporter, in a container or in the hands ("I")."""
    kind = kind_of(holder)
    return ("at" if kind == "r" else "on" if kind in SUPPORTERS else "in", thing, holder)


@dataclass(frozen=True)
class Thing:
    """A room, a door, a fixed or portable thing, an ingredient, a slot."""

    id: str
    name: str = ""  # as commands name it; unique among rooms' contents; empty for what has none
    text: str = ""  # what `examine` prints, or a room's description; see llm_envs.text.language.templates
    indefinite: str = ""  # article in lists, "some"; empty for "a" or "an"
    synonyms: tuple[str, ...] = ()  # further names that a typed command may use

    @property
    def kind(self) -> str:
        """The type, see `kind_of`."""
        return kind_of(self.id)


@dataclass(frozen=True)
class Quest:
    """A goal: `win` and `fail` are events, each a conjunction of facts.

    After every turn, quests in order: if a fail event holds, the game is lost; else if a win event holds, the reward is
    scored and the quest is done. The game is won when all quests that have win events and are not optional are done.
    """

    win: tuple[tuple[Fact, ...], ...] = ()
    fail: tuple[tuple[Fact, ...], ...] = ()
    reward: int = 1
    optional: bool = False
    repeatable: bool = False  # scores on every turn on which it holds


@dataclass(frozen=True)
class Game:
    """A whole game. The order of `things` decides the order of lists: by type, then as given."""

    name: str
    theme: str
    things: Mapping[str, Thing]  # by id; P, I and RECIPE need no entry
    facts: tuple[Fact, ...]  # at the start
    quests: tuple[Quest, ...]
    objective: str = ""  # the first text of an episode
    walkthrough: tuple[str, ...] = ()  # commands that win, where its maker knows them
    settings: Mapping[str, object] = field(default_factory=dict)  # what it was made with

    def of_kind(self, *kinds: str) -> list[Thing]:
        """Return the things of these types, in order of `kinds` and then of the game."""
        return [thing for kind in kinds for thing in self.things.values() if thing.kind == kind]

    def named(self, name: str) -> Iterable[Fact]:
        """Yield the facts of that name."""
        return (fact for fact in self.facts if fact[0] == name)
