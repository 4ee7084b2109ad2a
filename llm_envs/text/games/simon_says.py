"""SimonSays: do what Simon says, line after line, and nothing that he does not say.

Description:  One room with a table, an open box, a closed cupboard and things to handle. The note in the hands is a
              list of lines; some begin with "Simon says". These are to be carried out in order, the others are not.
              Whatever moves, opens, closes or eats a thing and is not Simon's next line loses at once, with one
              exception: taking back the line just done, and the ones before it in reverse. That brings back a state
              which was right before, and facts do not tell the two apart; going on without doing them again loses.
              Looking and examining are free, and so is all that is done with the note.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: take, drop, put, insert, open, close, eat, examine, look, inventory.
Reward:       score: 1 for each of Simon's lines carried out in its turn, once. win: 1 when the game is won. lose: 1
              when it is lost. turn, invalid: as in Text/World-v0. All but score weigh 0 unless asked for.
Termination:  All of Simon's lines were carried out, or something else was done.
Truncation:   After max_steps commands (50). Reading and obeying take length + 1.
Arguments:    length (int, 4): Simon's lines, 1 to 12. pool, observation, action, mask, shows, facts, window, max_steps:
              as in Text/World-v0.
Levels:       Each line moves, opens, closes or eats something that can be so handled after the lines before it, and
              never brings anything back to where it was; half as many lines, at least one, are not Simon's. Each of
              these can be carried out where it stands, and loses.
Source:       After Simon Says of TextWorldExpress (Jansen & Cote, 2023). There the lines are said one at a time, and
              one need not act upon the others either.

    > examine note
    The note says: Eat the bun. Simon says: open the cupboard. Simon says: put the bell into the cupboard.
    > open cupboard
    You open the cupboard. Your score has just gone up by one point.
    > inventory
    You are carrying: a bell and a note.
    > eat bun
    You eat the bun. Not bad. *** You lost! ***
"""

from dataclasses import dataclass

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import Fact, Game, place_fact
from llm_envs.validation import check_range

TOYS = ("ball", "cup", "spoon", "ribbon", "candle", "book", "comb", "bell", "whistle", "feather", "button", "mask")
FOODS = ("apple", "bun", "pear", "plum")
ROOMS = ("playroom", "parlor", "classroom", "attic", "kitchen", "study")
OPENERS = {"open": "close", "closed": "open"}  # what can be done to a container of this state


@dataclass(frozen=True)
class Line:
    """Something that can be done: the fact that it brings about, the command, and how the note words it."""

    fact: Fact  # its second entry is what is handled
    command: str
    words: str


class Play:
    """The things of a room as the lines change them, and where each has been."""

    def __init__(self, maker: Maker, room: str, handled: dict[str, Fact], furniture: dict[str, str]) -> None:
        self.maker, self.room, self.furniture = maker, room, furniture  # furniture: id -> verb and preposition
        self.now = handled  # thing -> the fact that says where it is, or whether it is open
        # Facts that have held: a line that brings one back could not be told from the state before it.
        self.seen = set(handled.values())

    def lines(self) -> list[Line]:
        """Return what can be done now and brings about what has not yet been."""
        found = [line for thing in self.now for line in self._of(thing)]
        return [line for line in found if line.fact not in self.seen]

    def do(self, line: Line) -> None:
        """Carry out a line."""
        self.now[line.fact[1]] = line.fact
        self.seen.add(line.fact)

    def _of(self, thing: str) -> list[Line]:
        state, name = self.now[thing], self.maker.things[thing].name
        if state[0] in OPENERS:
            verb = OPENERS[state[0]]
            return [Line(("closed" if verb == "close" else "open", thing), f"{verb} {name}", f"{verb} the {name}")]
        if state[0] == "eaten" or not self._open(state[2]):
            return []
        if state[2] != "I":
            place = "" if state[2] == self.room else f" from {self.maker.things[state[2]].name}"
            return [Line(("in", thing, "I"), f"take {name}{place}", f"take the {name}")]
        found = [Line(("at", thing, self.room), f"drop {name}", f"drop the {name}")]
        for place, preposition in self.furniture.items():
            if self._open(place):
                verb, where = "put" if preposition == "on" else "insert", self.maker.things[place].name
                found.append(
                    Line(
                        place_fact(thing, place),
                        f"{verb} {name} {preposition} {where}",
                        f"put the {name} {preposition} the {where}",
                    )
                )
        if thing.startswith("f_"):
            found.append(Line(("eaten", thing), f"eat {name}", f"eat the {name}"))
        return found

    def _open(self, place: str) -> bool:
        return place not in self.now or self.now[place][0] == "open"


@text_game(pool=100, max_steps=50)
def simon_says(seed: int, length: int = 4) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("length", length, 1, 12)
    maker = Maker("simon_says", "base", np.random.default_rng(seed))
    play = furnish(maker, length // 2 + 4)  # so many that no line is ever the only one left
    start, simons, note = dict(play.now), list[Line](), list[str]()
    decoys = maker.draw(range(length), max(1, length // 2))
    for k in range(length):
        choices = play.lines()
        line = draw(maker, choices)
        if k in decoys:
            wrong = draw(maker, [other for other in choices if other != line])
            note.append(f"{wrong.words[0].upper()}{wrong.words[1:]}.")
        note.append(f"Simon says: {line.words}.")
        simons.append(line)
        play.do(line)
    maker.put("o", "note", "I", f"The note says: {' '.join(note)}")
    add_quests(maker, start, simons, every_fact(play))
    return maker.game(
        "Do what Simon says, in order, and nothing else. The note in your hands tells what he says.",
        ["examine note", *(line.command for line in simons)],
        {"length": length},
    )


def furnish(maker: Maker, count: int) -> Play:
    """Make the room, `count` things to carry, and what they can be put on and into."""
    room = maker.room(maker.pick(ROOMS))
    maker.start(room)
    table = maker.fix("s", "table", room)
    box, cupboard = maker.fix("c", "box", room, "open"), maker.fix("c", "cupboard", room, "closed")
    handled: dict[str, Fact] = {box: ("open", box), cupboard: ("closed", cupboard)}
    toys, foods = maker.draw(TOYS), maker.draw(FOODS)
    for k in range(count):
        food = k % 3 == 1
        name = foods[k // 3] if food else toys[k]
        place = (room, "I", table)[k % 3] if k < 3 else maker.pick((room, "I", table))
        thing = maker.put("f" if food else "o", name, place, traits=["edible"] if food else [])
        handled[thing] = place_fact(thing, place)
    return Play(maker, room, handled, {table: "on", box: "into", cupboard: "into"})


def draw(maker: Maker, lines: list[Line]) -> Line:
    """Draw a verb, then a line that begins with it."""
    # By verb first: otherwise `put` and `insert`, with the most places, would crowd out the others.
    verb = maker.pick(sorted({line.command.split()[0] for line in lines}))
    return maker.pick([line for line in lines if line.command.split()[0] == verb])


def every_fact(play: Play) -> list[Fact]:
    """Return all facts that a thing handled in the game can ever bring about."""
    facts: list[Fact] = []
    for thing in play.now:
        if thing.startswith("c_"):
            facts += [("open", thing), ("closed", thing)]
        else:
            facts += [place_fact(thing, place) for place in (play.room, "I", *play.furniture)]
            facts += [("eaten", thing)] if thing.startswith("f_") else []
    return facts


def add_quests(maker: Maker, start: dict[str, Fact], lines: list[Line], facts: list[Fact]) -> None:
    """Add a quest for each line, with the fail events that keep to the order (see the card for what they notice).

    A fail event counts until its quest is done. So "line k + 1 is done" fails quest k, and what is never right fails a
    quest before all others, which is never done: facts that no line brings about, and a later line done while a thing
    is where it was before an earlier one.
    """
    wanted = [line.fact for line in lines]
    never = [[fact] for fact in facts if fact not in wanted and fact not in start.values()]
    now, before = dict(start), []  # before: what each line ended
    for fact in wanted:
        before.append(now[fact[1]])
        now[fact[1]] = fact
    for i, old in enumerate(before):
        never += [[old, fact] for fact in wanted[i + 1 :] if fact[1] != old[1]]
    maker.quest(fail=never, reward=0)
    for fact, following in zip(wanted, [*wanted[1:], None], strict=True):
        maker.quest(fact, fail=[[following]] if following else [])
