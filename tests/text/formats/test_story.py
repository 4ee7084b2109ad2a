"""Stories: the format's page in docs, what is read, and what the builder makes of it."""

import inspect
import re

import pytest
from story_texts import EXAMPLE, PAGE, SMALL, change
from text_player import Player, check_facts, play

from llm_envs.text.games import story as module
from llm_envs.text.games.story import BUILT_IN, load_story, story


@pytest.mark.parametrize("text", [EXAMPLE, BUILT_IN, SMALL], ids=["docs", "built-in", "small"])
def test_stories_are_whole_and_their_walkthroughs_win(text):
    game = load_story(text)
    check_facts(game)
    assert game == load_story(text)
    commands = game.walkthrough or ("unlock chest with old key", "open chest", "take ring from chest")
    player = play(game, commands)
    assert player.ending == "won"
    assert player.score == sum(quest.reward for quest in game.quests if not quest.optional)


def test_example_of_the_page():
    game = load_story(EXAMPLE)
    assert len(EXAMPLE.splitlines()) < 55
    assert game.name == "the clockmaker"
    assert [thing.name for thing in game.of_kind("r")] == ["workshop", "yard", "tower"]
    ids = {thing.name: thing.id for thing in game.things.values()}
    gear, can, bread, tower = (ids[name] for name in ("golden gear", "oil can", "bread", "tower"))
    facts = set(game.facts)
    assert {("in", ids["letter"], "I"), ("at", bread, ids["yard"]), ("edible", bread)} <= facts
    assert {("locked", ids["tower door"]), ("match", ids["iron key"], ids["tower door"])} <= facts
    assert {("east_of", tower, ids["yard"]), ("west_of", ids["yard"], tower)} <= facts
    assert not list(game.named("free"))
    assert game.quests[0].win == ((("in", gear, "I"),),)
    assert game.quests[1].win == ((("on", gear, ids["pedestal"]), ("at", "P", tower)),)
    assert game.quests[1].fail == ((("eaten", bread),),)
    assert (game.quests[1].reward, game.quests[1].optional) == (3, False)
    assert game.quests[2].win == ((("in", can, ids["tool chest"]),), (("on", can, ids["pedestal"]),))
    assert game.quests[2].optional
    assert game.things[bread].indefinite == "some"
    texts = {name: game.things[one].text for name, one in ids.items()}
    pedestal, door = ids["pedestal"], ids["tower door"]
    assert texts["tower"] == (
        f"Cobwebs. To the west is the yard.[if there is nothing on the {pedestal}] A pedestal stands empty.[otherwise] "
        f"On the pedestal you see [a list of things on the {pedestal}].[end if]"
    )
    assert texts["yard"].startswith(
        f"A cobbled yard. [if {door} is open]A draught comes from the tower.[end if] To the "
    )
    assert "tool chest" in texts["workshop"]
    assert "oak door" in texts["workshop"]
    eaten = play(game, ["open oak door", "go north", "take bread", "eat bread"])
    assert (eaten.ending, eaten.score) == ("lost", 0)


def test_path_and_text_give_the_same_game(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(SMALL)
    from_file, from_text = load_story(file), load_story(SMALL)
    assert (from_file.name, from_text.name) == ("tiny", "story")
    assert from_file.facts == load_story(str(file)).facts == from_text.facts
    assert from_file.things == from_text.things


def test_what_the_page_says_of_quotes_in_braces():
    told = re.search(r'`(cup: {text: ".*"})`', PAGE)[1]
    held = change("hands: [old key]", "hands: [old key, cup]")
    game = load_story(change("things:", f"things:\n  {told}", held))
    assert "A cup, chipped." in [thing.text for thing in game.things.values()]
    with pytest.raises(ValueError, match=r"unknown entry 'chipped\.'"):
        load_story(change("things:", "things:\n  " + told.replace('"', "")))


def test_exits_lead_back_whichever_side_says_so():
    one = "start: a1\nrooms: {a1: {exits: {north: {to: b1, door: gate}}}, b1: }\n"
    both = "start: a1\nrooms: {a1: {exits: {north: b1}}, b1: {exits: {south: {to: a1, door: gate}}}}\n"
    rest = "doors: {gate: {state: open}}\nquests: [{win: player in b1}]\n"
    games = [load_story(text + rest) for text in (one, both)]
    assert games[0].facts == games[1].facts
    assert play(games[0], ["go north"]).ending == "won"
    player = Player(games[0]).do("close gate")
    assert "go north" not in player.commands()
    assert play(load_story(SMALL), ["go north", "go south"]).ending == ""


def test_builder_passes_its_arguments_on(monkeypatch):
    seen = {}
    monkeypatch.setattr(module, "games_world", lambda games, **settings: seen.update(games=games, **settings))
    story()
    assert [game.name for game in seen["games"]] == ["lighthouse"]
    assert seen["custom_levels"] is True
    common = set(inspect.signature(story).parameters) - {"stories"}
    assert common == {"observation", "action", "mask", "shows", "facts", "window", "max_steps"}
    assert seen.keys() == common | {"games", "custom_levels"}
    story([EXAMPLE, SMALL], action="text", window=512)
    assert [game.name for game in seen["games"]] == ["the clockmaker", "story"]
    assert (seen["action"], seen["window"], seen["custom_levels"]) == ("text", 512, True)
    with pytest.raises(ValueError, match=r"^stories\[1\], line 1, column 8: start has unknown room"):
        story([EXAMPLE, change("start: hall", "start: hal")])
    with pytest.raises(TypeError, match="put the one you gave into a list"):
        story("mine.yaml")
    with pytest.raises(ValueError, match="stories is empty"):
        story([])
