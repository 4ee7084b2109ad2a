"""The small reasoning games: each is played by a plain interpreter of TextWorld's base rules."""

import math
import re
from collections import deque

import pytest
from text_player import Player, check_facts, play

from llm_envs.text.games.arithmetic import SIGNS, arithmetic
from llm_envs.text.games.map_reader import map_reader
from llm_envs.text.games.pecking_order import pecking_order
from llm_envs.text.games.simon_says import simon_says
from llm_envs.text.games.sorting import sorting

MAKERS = {
    "map_reader": (map_reader, [{}, {"rooms": 2, "distance": 1}, {"rooms": 12, "distance": 11}, {"rooms": 40}]),
    "arithmetic": (arithmetic, [{}, {"digits": 4}, {"operations": "-"}, {"digits": 2, "operations": "*+"}]),
    "sorting": (sorting, [{}, {"things": 2}, {"things": 8}]),
    "pecking_order": (pecking_order, [{}, {"things": 2}, {"things": 8}]),
    "simon_says": (simon_says, [{}, {"length": 1}, {"length": 12}]),
}
CASES = [(name, settings) for name, (_, cases) in MAKERS.items() for settings in cases]
every_case = pytest.mark.parametrize(("name", "settings"), CASES)


@every_case
def test_walkthrough_wins_and_the_seed_decides(name, settings):
    make = MAKERS[name][0].generate
    games = [make(seed, **settings) for seed in range(30)]
    assert games == [make(seed, **settings) for seed in range(30)]
    assert len({repr(game.things) for game in games}) > 20
    for game in games:
        check_facts(game)
        player = play(game, game.walkthrough)
        assert player.ending == "won"
        assert player.score == sum(quest.reward for quest in game.quests)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("map_reader", {"rooms": 1}, "rooms is 1; it must be from 2 to 40"),
        ("map_reader", {"rooms": 5, "distance": 5}, "distance is 5; it must be from 1 to 4"),
        ("arithmetic", {"digits": 0}, "digits is 0; it must be from 1 to 4"),
        ("arithmetic", {"operations": "+/"}, "operations is '+/'; it must be one or more of the signs"),
        ("arithmetic", {"operations": "++"}, "each once"),
        ("arithmetic", {"operations": ""}, "operations is ''"),
        ("sorting", {"things": 9}, "things is 9; it must be from 2 to 8"),
        ("pecking_order", {"things": 1}, "things is 1; it must be from 2 to 8"),
        ("simon_says", {"length": 13}, "length is 13; it must be from 1 to 12"),
    ],
)
def test_refusals(name, settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MAKERS[name][0].generate(0, **settings)
    with pytest.raises(TypeError, match="must be a"):
        MAKERS[name][0].generate(0, **dict.fromkeys(settings, None))


def test_map_is_true_and_the_coin_is_as_far_as_asked():
    for seed in range(20):
        game = map_reader.generate(seed, rooms=16, distance=5)
        names = {thing.id: thing.name for thing in game.of_kind("r")}
        text = next(thing.text for thing in game.things.values() if thing.name == "map")
        shown = {frozenset((names[a], names[b])) for name, a, b in game.named("free")}
        told = set()
        for line in text.removeprefix("The map says: ").rstrip(".").split(". "):
            room, near = re.fullmatch(r"The (.+) touches the (.+)", line).groups()
            told |= {frozenset((room, other)) for other in re.split(r", the | and the ", near)}
        assert told == shown
        steps, queue = {names["r_0"]: 0}, deque([names["r_0"]])
        while queue:
            room = queue.popleft()
            for other in {other for pair in told if room in pair for other in pair} - set(steps):
                steps[other] = steps[room] + 1
                queue.append(other)
        assert len(steps) == 16
        coin = next(fact[2] for fact in game.facts if fact[:2] == ("at", "o_0"))
        assert steps[names[coin]] == 5
        assert f"in the {names[coin]}." in game.objective


@pytest.mark.parametrize("operations", ["+", "-", "*"])
def test_only_the_answer_wins(operations):
    said = {word: sign for sign, word in SIGNS.items()}
    for seed in range(30):
        game = arithmetic.generate(seed, digits=2, operations=operations)
        note = next(thing.text for thing in game.things.values() if thing.name == "note")
        a, word, b = re.search(r"is (\d+) (\w+) (\d+)\?", note).groups()
        assert said[word] == operations
        answer = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[operations]
        bags = [thing.name for thing in game.of_kind("o") if thing.name != "note"]
        numbers = [int(bag.split()[2]) for bag in bags]
        assert len(set(numbers)) == 4
        assert min(numbers) > 0
        assert all(bag.endswith("s") == (number > 1) for bag, number in zip(bags, numbers, strict=True))
        for bag, number in zip(bags, numbers, strict=True):
            player = play(game, [f"take {bag}", f"insert {bag} into box"])
            assert (player.ending, player.score) == (("won", 1) if number == answer else ("lost", 0))


UNITS = {"g": 1, "kg": 1000, "cm": 1, "m": 100, "ml": 1, "l": 1000}


def told_order(game):
    """Return the things' names in the order in which they are due, as the game's texts tell it."""
    if game.name == "sorting":
        names = [thing.name for thing in game.of_kind("o")]
        size = {name: int(name.split()[2]) * UNITS[name.split()[3]] for name in names}
        assert len(set(size.values())) == len(names)
        assert len({name.split()[3] for name in names}) == 2
        return sorted(names, key=size.get), "insert {} into box"
    after = {}
    for thing in game.of_kind("o"):
        if found := re.search(r"The (\w+) goes (before|after) the (\w+)\.", thing.text):
            first, word, second = found.groups()
            after[first if word == "before" else second] = second if word == "before" else first
    order = [next(bird for bird in after if bird not in after.values())]
    while order[-1] in after:
        order.append(after[order[-1]])
    assert len(order) == len(after) + 1
    return order, "put {} on table"


@pytest.mark.parametrize("make", [sorting, pecking_order])
@pytest.mark.parametrize("things", [2, 5])
def test_only_the_told_order_wins(make, things):
    for seed in range(20):
        game = make.generate(seed, things=things)
        order, place = told_order(game)
        assert len(order) == things
        commands = [command for name in order for command in (f"take {name}", place.format(name))]
        for k in range(things):  # after k right ones, each wrong one loses
            so_far = play(game, commands[: 2 * k])
            assert so_far.score == k
            for name in order[k + 1 :]:
                wrong = so_far.copy().do(f"take {name}").do(place.format(name))
                assert (wrong.ending, wrong.score) == ("lost", k)
        player = play(game, commands)
        assert (player.ending, player.score) == ("won", things)
        if things > 2:  # what was taken out again is missed
            container = place.split()[-1]
            player = play(game, [*commands[:4], f"take {order[0]} from {container}", f"take {order[2]}"])
            assert player.do(place.format(order[2])).ending == "lost"


def note_of(game):
    """Return the lines of Simon's note: whether he says them, and what to do."""
    text = next(thing.text for thing in game.things.values() if thing.name == "note")
    lines = re.findall(r"(Simon says: )?([^.:]+)\.", text.removeprefix("The note says: "))
    return [(bool(simon), re.sub(r"\bthe ", "", line.strip().lower())) for simon, line in lines]


def as_said(command):
    """Return a command as the note words it, without articles."""
    return re.sub(r"^insert", "put", re.sub(r" from \w+$", "", command))


@pytest.mark.parametrize("length", [1, 2, 4, 9])
def test_whatever_simon_does_not_say_loses(length):
    """From every state on the way, and from those that are reached by taking back lines."""
    for seed in range(12):
        game = simon_says.generate(seed, length=length)
        walk = game.walkthrough[1:]
        lines = note_of(game)
        assert len(lines) == length + max(1, length // 2)
        assert [line for simon, line in lines if simon] == [as_said(command) for command in walk]
        right = [play(game, walk[:k]).facts for k in range(length + 1)]
        for k in range(length):
            player = play(game, walk[:k])
            assert (player.score, player.ending) == (k, "")
            for command, (delete, _) in player.commands().items():
                after = player.copy().do(command)
                if command == walk[k]:
                    assert after.score == k + 1
                elif not delete or "note" in command:
                    assert not after.ending
                elif after.facts != right[max(k - 1, 0)]:
                    assert (after.ending, after.score) == ("lost", k)
                else:  # the last line taken back: only doing it again, or taking back more, does not lose
                    for follow, (changed, _) in after.commands().items():
                        later = after.copy().do(follow)
                        fine = not changed or "note" in follow or later.facts in (right[k], right[max(k - 2, 0)])
                        assert (later.ending == "lost") != fine


def test_lines_that_simon_does_not_say_can_be_carried_out():
    for seed in range(20):
        game = simon_says.generate(seed, length=6)
        player, walk = Player(game), iter(game.walkthrough[1:])
        for simon, line in note_of(game):
            if simon:
                player.do(next(walk))
                continue
            found = [command for command in player.commands() if as_said(command) == line]
            assert len(found) == 1
            assert player.copy().do(found[0]).ending == "lost"
        assert player.ending == "won"


def test_numbers_of_things():
    for things in (2, 8):
        assert len(sorting.generate(0, things=things).of_kind("o")) == things
        assert len(pecking_order.generate(0, things=things).of_kind("o")) == 2 * things - 1
        assert len(pecking_order.generate(0, things=things).quests) == things
        fails = sum(len(quest.fail) for quest in sorting.generate(0, things=things).quests)
        assert fails == 2 * math.comb(things, 2)
    assert len(map_reader.generate(0, rooms=23).of_kind("r")) == 23
    assert len(simon_says.generate(0, length=7).quests) == 8  # the first one only forbids
