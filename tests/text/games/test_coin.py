"""Coin beside TextWorld itself, and against laws of its maps and its transcript."""

from collections import deque

import gymnasium as gym
import numpy as np
import pytest
import textworld
from textworld.challenges.tw_coin_collector import coin_collector
from textworld.generator import compile_game

from llm_envs.registration import build, make_batch
from llm_envs.text.games.coin.coin import SMALLEST_WINDOW
from llm_envs.text.games.coin.words import LONGEST_TURN
from llm_envs.world import Row

BACK = {"north": "south", "south": "north", "east": "west", "west": "east"}
HOUSE = {  # Hall is the start; the coin lies in the Old Mill, two rooms away
    "exits": [{"north": 1, "west": 3}, {"south": 0, "east": 2}, {"west": 1}, {"east": 0}],
    "names": ["Hall", "Pier", "Old Mill", "Attic"],
    "coin": 2,
}


def own_form(game):
    """Return a TextWorld game in the form of `levels=`."""
    rooms = game.world.rooms
    return {
        "exits": [{way: rooms.index(room) for way, room in room.exits.items()} for room in rooms],
        "names": [game.infos[room.name].name.replace("-", " ") for room in rooms],
        "start": rooms.index(game.world.player_room),
        "coin": next(i for i, room in enumerate(rooms) if any(thing.name == "o_0" for thing in room.content)),
    }


ODD = (
    "go north", "n", "go n", "North", "walk south", "run east", "s", "e", "w", "go west.", "take coin", "get the coin",
    "Pick Up  Coin", "pick coin up", "carry coin", "hold coin", "take some coin", "x coin", "examine coin", "l at coin",
    "look at the coin", "check coin", "watch coin", "read coin", "describe coin", "l coin", "l", "look", "i", "inv",
    "take inventory", "drop coin", "take coins", "grab coin", "xyzzy", "go to north", "look around", "coin",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:Game ")  # jericho knows no score of its own for TextWorld's games
def test_every_step_is_as_in_textworld(tmp_path):
    """Admissible commands, score, won and done, over walkthroughs, random walks and commands that are refused."""
    games, files = [], []
    for seed, number in enumerate((1, 4, 8, 103, 105, 202)):  # 100 (mode - 1) + level
        options = textworld.GameOptions()
        options.seeds, options.path = seed, str(tmp_path / f"{number}.z8")
        games.append(coin_collector.make({"level": number}, options))
        files.append(compile_game(games[-1], options))
    config = {"levels": [own_form(game) for game in games], "max_steps": 0, "action": "text"}
    batch = make_batch("Text/Coin-v0", len(games), order="sweep", autoreset="never", **config)
    world, rng, wins, steps = batch.world, np.random.default_rng(0), 0, 0
    wanted = textworld.EnvInfos(admissible_commands=True, score=True, won=True, lost=True, max_score=True)
    for row, (game, file) in enumerate(zip(games, files, strict=True)):
        theirs = textworld.start(file, wanted)
        for episode in range(4):
            batch.reset_rows(seed=0)  # with order="sweep", row i begins with level i
            told, score, done = theirs.reset(), 0, False
            walk = list(game.metadata["walkthrough"]) if episode == 0 else []
            assert not walk or len(walk) == len(world.solution(batch.row(row)))
            for _ in range(60):
                ours, mask = batch.info(row), batch.action_masks()[row]
                for name in ("admissible_commands", "score", "won", "lost", "max_score"):
                    assert ours[name] == told[name], (name, row, episode)
                legal = [name for name, allowed in zip(world.action_names, mask, strict=True) if allowed]
                assert sorted(legal + ["drop coin"] * told["won"]) == told["admissible_commands"]
                if done:
                    break
                typed = walk.pop(0) if walk else str(rng.choice(legal if rng.random() < 0.7 else ODD))
                told, now, done = theirs.step(typed)
                actions = np.full(len(games), batch.parse_row("look", 0))
                actions[row] = batch.parse_row(typed, row)
                batch.step_rows(actions)
                after = batch.arrays
                assert (after.reward[row], after.terminated[row]) == (now - score, done), (typed, row)
                assert after.signals["invalid"][row] == (not mask[actions[row]])
                score, steps = now, steps + 1
            wins += score
    assert wins >= 12
    assert steps > 500


def shortest(exits, start, goal):
    """Return the number of rooms on a shortest path."""
    seen, queue = {start: 1}, deque([start])
    while queue:
        room = queue.popleft()
        for there in exits[room]:
            if there >= 0 and there not in seen:
                seen[there] = seen[room] + 1
                queue.append(there)
    return seen[goal], len(seen)


@pytest.mark.parametrize(("level", "mode"), [(1, 1), (5, 1), (4, 2), (33, 3)])
def test_maps_and_solutions(level, mode):
    options = {"level": level, "mode": mode, "pool": 32, "max_steps": 0}
    world = build("Text/Coin-v0", options)
    rows = world.levels.view(np.recarray)
    for game in rows:
        exits = game.exits.tolist()
        assert shortest(exits, game.start, game.coin) == (level, level * mode)
        for room, ways in enumerate(exits):
            assert all(exits[there][d ^ 1] == room for d, there in enumerate(ways) if there >= 0)
        named = [tuple(name) for name in game.names.tolist() if any(name)]
        assert len(set(named)) == len(named) == level * mode
        if mode > 1:  # a wrong turn of TextWorld's simple mode is a dead end
            assert all(sum(there >= 0 for there in ways) == 1 for ways in exits[level : level * mode])
    assert (world.levels == build("Text/Coin-v0", options | {"pool": 64}).levels[:32]).all()
    plans = [world.solution(Row(None, game, None, {})) for game in rows]
    assert {len(plan) for plan in plans} == {level}
    batch = make_batch("Text/Coin-v0", 32, split="all", order="sweep", autoreset="never", **options)
    batch.reset_rows(0)
    for t in range(level):
        batch.step_rows(np.array([plans[i][t] for i in batch.level_index]))
        assert (batch.arrays.reward == (t == level - 1)).all()
        assert (batch.arrays.terminated == (t == level - 1)).all()


def test_a_full_window_drops_its_oldest_half():
    """A window of 64 shows what follows from the whole transcript, which a window of 2,048 holds."""
    small, whole = (make_batch("Text/Coin-v0", 8, window=window, max_steps=0, seed=3) for window in (64, 2048))
    words = small.world.tokenizer
    for batch in (small, whole):
        batch.reset_rows()
    shown = [whole.arrays.obs["tokens"][i, :n].tolist() for i, n in enumerate(whole.arrays.obs["length"][:, 0])]
    typed = [[0] * len(row) for row in shown]
    rng, drops = np.random.default_rng(1), 0
    for _ in range(120):
        before = whole.arrays.obs["length"][:, 0].copy()
        actions = rng.choice([0, 1, 2, 3, 5, 6, 7], 8)  # all but to take the coin
        small.step_rows(actions)
        whole.step_rows(actions)
        for i in range(8):
            seen = {name: value[i] for name, value in small.arrays.obs.items()}
            turn = whole.arrays.obs["tokens"][i, before[i] : whole.arrays.obs["length"][i, 0]].tolist()
            command = words.encode(small.world.action_names[actions[i]]).ids
            assert turn[: 1 + len(command)] == [words.token_to_id(">"), *command]
            if len(shown[i]) + len(turn) > 64:
                shown[i], typed[i], drops = shown[i][32:], typed[i][32:], drops + 1
            shown[i] += turn
            typed[i] += [0] + [1] * len(command) + [0] * (len(turn) - 1 - len(command))
            length = len(shown[i])
            assert seen["length"][0] == length <= 64
            assert seen["tokens"].tolist() == shown[i] + [0] * (64 - length)
            assert seen["token_mask"].tolist() == typed[i] + [0] * (64 - length)
            told = small.info(i)["feedback"]
            assert small.decode({name: value[None] for name, value in seen.items()})[0].endswith("\n" + told)
    assert drops > 100


def test_the_smallest_window_holds_the_longest_turn_twice():
    """So that a turn always fits once the oldest half of the window has been dropped."""
    assert 2 * LONGEST_TURN <= SMALLEST_WINDOW
    batch = make_batch("Text/Coin-v0", 1, window=SMALLEST_WINDOW)
    assert batch.world.observation["tokens"].shape == (SMALLEST_WINDOW,)


def test_golden_transcript_in_text():
    env = gym.make(
        "Text/Coin-v0", levels=[HOUSE], observation="text", action="text", max_steps=7, disable_env_checker=True
    )
    text, info = env.reset(seed=0)
    assert text == info["feedback"] == info["description"] == "Hall. Exits: north west."
    assert info["inventory"] == "You carry nothing."
    assert info["admissible_commands"] == ["go north", "go west", "inventory", "look"]
    outcomes = []
    for typed in (" N ", "take the coin", "go WEST", "sing", "e", "X coin", "Pick coin up."):
        text, reward, terminated, truncated, info = env.step(typed)
        outcomes.append((reward, terminated, truncated, info["signals/invalid"]))
        assert env.observation_space.contains(text)
    assert [invalid for *_, invalid in outcomes] == [0, 1, 1, 1, 0, 0, 0]
    assert [rest for *rest, _ in outcomes] == [[0, False, False]] * 6 + [[1, True, True]]
    assert text.splitlines() == [
        "Hall. Exits: north west.",
        "> go north",
        "Pier. Exits: south east.",
        "> take coin",
        "You see no coin here.",
        "> go west",
        "You see no way there.",
        "> ?",
        "That makes no sense.",
        "> go east",
        "Old Mill. Exits: west. A coin lies here.",
        "> examine coin",
        "It is small and golden.",
        "> take coin",
        "Taken. You have won.",
    ]
    assert (info["score"], info["max_score"], info["won"], info["lost"]) == (1, 1, True, False)
    assert info["inventory"] == "You carry a coin."
    assert info["description"] == "Old Mill. Exits: west."


def test_own_names_join_the_vocabulary():
    world = build("Text/Coin-v0", {"levels": [HOUSE]})
    assert world.bounds["tokens"][1] == world.tokenizer.get_vocab_size() - 1
    assert world.tokenizer.token_to_id("Pier") == world.tokenizer.get_vocab_size() - 2  # Hall is of ours, Old is not
    assert build("Text/Coin-v0", {}).tokenizer.token_to_id("Pier") is None


BAD = [
    ({"mode": 4}, "mode is 4"),
    ({"level": 60, "mode": 2}, "needs 120 rooms"),
    ({"level": 60}, "max_steps is 50"),
    ({"window": 65}, "must be even"),
    ({"window": 2048, "observation": "text"}, "window is 2048"),
    ({"observation": "pixels"}, "observation is 'pixels'"),
    ({"action": "words"}, "action is 'words'"),
    ({"levels": []}, "levels has 0 entries; it must be a list of at least 1"),
    ({"levels": [{"exits": [{}]}]}, "'exits' and 'coin'"),
    ({"levels": [HOUSE, HOUSE | {"coin": 4}]}, r"levels\[1\]\['coin'\] is 4"),
    ({"levels": [HOUSE | {"names": ["Hall"]}]}, "1 names for 4 rooms"),
    ({"levels": [HOUSE | {"names": ["Hall", "a > b", "C", "D"]}]}, "room named 'a > b'"),
    ({"levels": [{"exits": [{"north": 1}, {}], "coin": 1}]}, r"\[1\]\['south'\] must be 0"),
    ({"levels": [{"exits": [{"up": 0}], "coin": 0}]}, "must be one of 'north'"),
    ({"levels": [{"exits": [{"north": 1}], "coin": 0}]}, "is 1; it must be from 0 to 0"),
    ({"levels": [{"exits": [{}, {}], "coin": 1}]}, "no way leads from room 0 to the coin in room 1"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        build("Text/Coin-v0", options)
