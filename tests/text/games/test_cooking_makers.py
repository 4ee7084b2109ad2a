"""The makers of cooking and tidying games: sizes, facts, refusals; their walkthroughs under TextWorld's own rules."""

from collections import Counter

import pytest
from textworld.challenges.tw_cooking.cooking import KB_GRAMMAR_PATH, KB_LOGIC_DROP_PATH, KB_LOGIC_PATH
from textworld.generator.data import KnowledgeBase
from textworld.logic import Proposition, State, Variable

from llm_envs.text.authoring.kitchen import FOODS
from llm_envs.text.authoring.tidy_names import OBJECTS, ROOMS
from llm_envs.text.games.cooking import PRESETS, cooking
from llm_envs.text.games.cooking_world import cooking_world
from llm_envs.text.games.tidy import LEVELS, tidy
from llm_envs.text.model.game import FIXED, PORTABLE, kind_of

LOGIC = {
    "base": KnowledgeBase.default(),
    "cooking": KnowledgeBase.load(logic_path=KB_LOGIC_PATH, grammar_path=KB_GRAMMAR_PATH),
    "cooking-drop": KnowledgeBase.load(logic_path=KB_LOGIC_DROP_PATH, grammar_path=KB_GRAMMAR_PATH),
}
CASES = [
    *((cooking, {"preset": preset}) for preset in ("ftwp-hardest", "gata-1", "gata-3", "gata-4", "gata-5")),
    (cooking, {}),
    (cooking, {"take": 0, "drop": True}),
    (cooking, {"cut": True, "drop": True, "open": True}),
    (cooking, {"recipe": 2, "take": 1, "cut": True, "drop": True, "go": 6}),
    (cooking, {"recipe": 5, "take": 3, "cook": True, "cut": True, "drop": True, "go": 12, "open": True}),
    (cooking, {"recipe": 4, "take": 4, "cook": True, "go": 9}),
    (cooking_world, {}),
    (cooking_world, {"ingredients": 4, "rooms": 9}),
    (cooking_world, {"ingredients": 3, "rooms": 1, "doors": False}),
    *((tidy, {"level": level}) for level in LEVELS),
]
every_case = pytest.mark.parametrize(("family", "settings"), CASES)


def ways(state, kb, names, command):
    """Return TextWorld's actions of this name, as (number of preconditions, action)."""
    for rule in kb.rules.values():
        template = kb.inform7_commands[rule.name]
        if template.split()[0] == command.split()[0]:
            for mapping in state.all_assignments(rule, kb.types.constants_mapping):
                words = {variable.name: names.get(thing.name, "") for variable, thing in mapping.items()}
                if template.format(**words) == command:
                    yield len(rule.preconditions), rule.instantiate(mapping)


def play(game, commands):
    """Return ("won", "lost" or "", score) after these commands, all of them admissible, and the last facts."""
    kb = LOGIC[game.theme]
    names = {key: thing.name for key, thing in game.things.items()}
    state = State(kb.logic, [Proposition(fact[0], [Variable(i, kind_of(i)) for i in fact[1:]]) for fact in game.facts])
    left, score, facts = list(game.quests), 0, set(game.facts)
    for command in commands:
        found = max(ways(state, kb, names, command), key=lambda way: way[0], default=None)
        assert found, f"{command!r} is not admissible"
        state.apply(found[1])
        facts = {(fact.name, *(one.name for one in fact.arguments)) for fact in state.facts}
        for quest in list(left):
            if any(facts.issuperset(event) for event in quest.fail):
                return "lost", score, facts
            if any(facts.issuperset(event) for event in quest.win):
                score += quest.reward
                left.remove(quest)
        if not any(quest.win for quest in left):
            return "won" if command == commands[-1] else "won early", score, facts
    return "", score, facts


@every_case
def test_walkthrough_wins_with_the_full_score(family, settings):
    for seed in range(5):
        game = family.generate(seed, **settings)
        commands = list(game.walkthrough)
        assert play(game, commands)[:2] == ("won", sum(quest.reward for quest in game.quests))
        if family is not tidy:  # the story looks at the ingredients before it makes the meal of them, the rules do not
            facts = play(game, commands[:-2])[2]
            for _, food, ingredient in game.named("base"):
                for ways_to in ("fried", "roasted", "grilled"), ("sliced", "diced", "chopped"):
                    assert all(((way, food) in facts) == ((way, ingredient) in facts) for way in ways_to)


@every_case
def test_games_are_well_formed(family, settings):
    """Every id exists, every thing has one place, ways lead back, names are unique; the same seed gives the same."""
    games = [family.generate(seed, **settings) for seed in range(20)]
    assert games == [family.generate(seed, **settings) for seed in range(20)]
    assert len({game.facts for game in games}) > 15
    for game in games:
        facts = set(game.facts)
        assert len(facts) == len(game.facts)
        used = {one for fact in game.facts for one in fact[1:]}
        assert used - {"P", "I", "RECIPE"} == set(game.things)
        names = [thing.name for thing in game.things.values() if thing.name]
        assert len(set(names)) == len(names)
        assert all(name == name.lower() or name == "BBQ" for name in names)
        places = Counter(fact[1] for fact in facts if fact[0] in ("at", "in", "on") and fact[2] != "RECIPE")
        assert places == Counter(
            [*(thing.id for thing in game.of_kind(*PORTABLE, *FIXED) if thing.kind != "meal"), "P"]
        )
        for name, there, here in (fact for fact in facts if fact[0].endswith("_of")):
            back = {"north": "south", "south": "north", "east": "west", "west": "east"}[name.removesuffix("_of")]
            assert (f"{back}_of", here, there) in facts
            doors = [fact[2] for fact in facts if fact[0] == "link" and fact[1::2] == (here, there)]
            assert ("free", here, there) in facts or ("closed", doors[0]) in facts
        assert max(map(len, map(game.of_kind, ("r", "d")))) <= 16
        assert len(game.of_kind(*FIXED)) <= 16
        assert len(game.of_kind(*PORTABLE)) <= 24
        assert len(game.quests) <= 32


def test_arguments_of_cooking_set_sizes_and_points():
    for recipe, take, go in ((1, 1, 1), (2, 0, 6), (3, 2, 9), (5, 4, 12)):
        for cook, cut in ((False, False), (True, False), (False, True), (True, True)):
            game = cooking.generate(7, recipe, take, cook, cut, go=go)
            assert len(game.of_kind("r")) == go
            assert len(game.of_kind("ingredient")) == recipe
            assert len([fact for fact in game.named("in") if fact[2] == "I"]) == recipe - take
            assert sum(quest.reward for quest in game.quests) == take + recipe * (cook + cut) + 2
            assert not any(thing.kind == "slot" for thing in game.things.values())
    points = [sum(q.reward for q in cooking.generate(0, preset=f"gata-{k}").quests) for k in (1, 2, 3, 4)]
    assert points == [4, 5, 3, 11]
    assert len({len(cooking.generate(seed, preset="gata-5").quests) for seed in range(20)}) > 1
    assert {cooking.generate(0, preset=preset).settings["preset"] for preset in PRESETS} == set(PRESETS)


def test_hands_hold_as_many_things_as_the_recipe_has_ingredients():
    for settings, free, used in (
        ({}, 1, 0), ({"take": 0}, 0, 1), ({"cut": True}, 2, 0), ({"recipe": 3, "take": 2, "cut": True}, 2, 1)
    ):  # fmt: skip
        game = cooking.generate(1, drop=True, **settings)
        assert game.theme == "cooking-drop"
        assert len([fact for fact in game.named("free") if fact[1].startswith("slot")]) == free
        assert len(list(game.named("used"))) == used


def test_open_closes_all_doors_and_containers():
    for closed in (False, True):
        game = cooking.generate(2, open=closed, go=12)
        shut = game.of_kind("c", "d", "oven")
        assert {fact[1] for fact in game.named("closed" if closed else "open")} == {thing.id for thing in shut}
        assert len(game.of_kind("d")) >= 4


def test_cookbook_tells_ingredients_and_directions():
    game = cooking.generate(5, recipe=3, take=3, cook=True, cut=True)
    book = next(thing for thing in game.things.values() if thing.name == "cookbook")
    assert book.synonyms == ("recipe",)
    _, _, foods, _, steps = book.text.splitlines()
    names = foods.removeprefix("Ingredients: ").removesuffix(".").split(", ")
    assert names == sorted(names) == [game.things[fact[1]].name for fact in game.named("base")]
    steps = steps.removeprefix("Directions: ").removesuffix(".").split("; ")
    assert [step.split(" the ")[-1] for step in steps] == [*(name for name in names for _ in range(2)), "prepare meal"]


@pytest.mark.parametrize("seed", range(4))
def test_wrong_cooking_wrong_cutting_burning_and_eating_lose(seed):
    game = cooking.generate(seed, cook=True, cut=True)
    commands = list(game.walkthrough)
    at = next(k for k, command in enumerate(commands) if command.startswith("cook"))
    food = commands[at].split(" with ")[0].removeprefix("cook ")
    other = {"stove": "oven", "oven": "stove"}[commands[at].split(" with ")[1]]
    assert play(game, [*commands[:at], f"cook {food} with {other}"])[0] == "lost"
    assert play(game, [*commands[: at + 1], commands[at]])[0] == "lost"
    assert play(game, [*commands[: at + 1], f"eat {food}"])[0] == "lost"
    at = next(k for k, command in enumerate(commands) if command.split()[0] in ("slice", "dice", "chop"))
    verb = "chop" if commands[at].startswith("dice") else "dice"
    assert play(game, [*commands[:at], f"{verb} {food} with knife"])[0] == "lost"


def test_ingredients_of_cooking_world_are_in_several_rooms():
    for seed in range(20):
        game = cooking_world.generate(seed)
        assert len(game.of_kind("r")) == 3
        rooms = {fact[1]: fact[2] for fact in game.named("at")}
        places = {fact[1]: fact[2] for name in ("at", "on", "in") for fact in game.named(name)}
        assert len({rooms.get(places[fact[1]], places[fact[1]]) for fact in game.named("base")}) == 2
        assert not cooking_world.generate(seed, doors=False).of_kind("d")


def test_tables_are_large_enough_and_name_what_there_is():
    pieces = [piece for room in ROOMS.values() for _, piece in room]
    assert len(ROOMS) == 6
    assert len(set(pieces)) == len(pieces) >= 20
    assert {place for right in OBJECTS.values() for place in right} == set(pieces)
    assert len(OBJECTS) >= 60
    assert not set(OBJECTS) & set(pieces)
    assert len({food.name for food in FOODS}) == len(FOODS)


def test_things_to_tidy_are_in_wrong_places_in_sight():
    for level, ((fewest, most), (few, many)) in LEVELS.items():
        games = [tidy.generate(seed, level=level) for seed in range(40)]
        assert {len(game.of_kind("r")) for game in games} == set(range(fewest, most + 1))
        assert {len(game.quests) for game in games} == set(range(few, many + 1))
        for game in games:
            closed = {fact[1] for fact in game.named("closed")}
            for quest, thing in zip(game.quests, game.of_kind("o"), strict=True):
                right = OBJECTS[thing.name]
                assert 1 <= len(quest.win) <= len(right)
                for ((_, one, place),) in quest.win:
                    assert one == thing.id
                    assert game.things[place].name in right
                    assert not any(fact[1:] == (one, place) for fact in game.facts)
                assert not any(fact[2] in closed for fact in game.named("in") if fact[1] == thing.id)


@pytest.mark.parametrize(
    ("family", "settings", "error", "message"),
    [
        (cooking, {"recipe": 6}, ValueError, "recipe is 6; it must be from 1 to 5"),
        (cooking, {"take": 2}, ValueError, "take is 2; it must be from 0 to 1"),
        (cooking, {"go": 7}, ValueError, "go is 7; it must be one of 1, 6, 9, 12"),
        (cooking, {"cut": 1}, TypeError, "cut must be True or False, not 1"),
        (cooking, {"preset": "gata-6"}, ValueError, "preset is 'gata-6'; it must be one of '', 'ftwp-hardest'"),
        (cooking, {"preset": "gata-1", "go": 6}, ValueError, "preset 'gata-1' sets go itself"),
        (cooking_world, {"ingredients": 0}, ValueError, "ingredients is 0; it must be from 1 to 5"),
        (cooking_world, {"rooms": 13}, ValueError, "rooms is 13; it must be from 1 to 12"),
        (cooking_world, {"doors": "no"}, TypeError, "doors must be True or False"),
        (tidy, {"level": "tiny"}, ValueError, "level is 'tiny'; it must be one of 'easy'"),
    ],
)
def test_refusals(family, settings, error, message):
    with pytest.raises(error, match=message):
        family.generate(0, **settings)
