"""One game in every form of action and observation: what is typed, numbered, listed and said comes to the same."""

import dataclasses
import itertools

import gymnasium as gym
import numpy as np
import pytest
from text_player import play

import llm_envs
from llm_envs.engine.levels import percentile
from llm_envs.registration import build
from llm_envs.text.compiler.pool import compile_games
from llm_envs.text.games.cooking import cooking
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.interface.expert import winning_commands
from llm_envs.text.model.game import Thing
from llm_envs.text.records import codes
from llm_envs.vocabulary import END

GAMES = [cooking.generate(seed, preset="ftwp-hardest") for seed in range(3)]
SAME = ("room", "holder", "after", "first", "lock", "food", "cut", "score", "turns", "ending", "reply", "done_quests")


def make(game, **options):
    return llm_envs.make_batch("Text/World-v0", 1, games=[game], max_steps=0, autoreset="never", threads=1, **options)


def state_of(batch):
    return {name: batch.row(0).state.game[name].tolist() for name in SAME}


@pytest.mark.parametrize("game", GAMES, ids=lambda game: str(game.name))
def test_four_forms_play_the_same_game(game):
    index, words, listed = make(game, action="index"), make(game), make(game, action="admissible")
    said = gym.make("Text/World-v0", games=[game], action="text", max_steps=0).unwrapped
    tokenizer, rng = words.world.tokenizer, np.random.default_rng(1)
    for batch in (index, words, listed):
        batch.reset_rows(0)
    said.reset(seed=0)
    symbols = next(iter(index.world.solution.pool.symbols.values()))
    names = dict(zip(symbols.order.tolist(), symbols.commands, strict=True))
    for _ in range(80):
        if index.row(0).state.game.ending:
            break
        admissible = np.flatnonzero(index.action_masks()[0])
        place = int(rng.integers(len(admissible)))
        assert listed.action_masks()[0].sum() == len(admissible)
        command = names[admissible[place]]
        shown = [token for token in listed.arrays.obs["commands"][0, place].tolist() if token]
        assert tokenizer.decode(shown) == command
        index.step_rows([admissible[place]])
        listed.step_rows([place])
        said.step(command)
        for token in [*tokenizer.encode(command).ids, END]:
            assert words.action_masks()[0, token], f"{command}: {tokenizer.id_to_token(token)} is masked"
            words.step_rows([token])
        states = [state_of(batch) for batch in (index, words, listed, said.batch)]
        assert all(state == states[0] for state in states), command
        # The transcripts differ in nothing but the <end> that carries out what was typed.
        typed = words.arrays.obs["tokens"][0, : words.arrays.obs["length"][0, 0]]
        whole = index.arrays.obs["tokens"][0, : index.arrays.obs["length"][0, 0]]
        typed = typed[typed != END]
        kept = min(len(whole), len(typed))
        assert typed[-kept:].tolist() == whole[-kept:].tolist()


def test_what_is_listed_is_done():
    """But for `prepare meal`, which is listed before all is ready."""
    batch = llm_envs.make_batch("Text/World-v0", 32, games=GAMES, action="index", threads=1)
    batch.reset_rows(3)
    rng = np.random.default_rng(3)
    for _ in range(150):
        masks = batch.action_masks()
        actions = (rng.random(masks.shape) * masks).argmax(1)
        states, levels = batch.records
        verbs = [levels[state["level"]]["commands"][action][0] for state, action in zip(states, actions, strict=True)]
        batch.step_rows(actions)
        signals = batch.arrays.signals
        assert (signals["turn"] == 1).all()
        refused = signals["invalid"] == 1
        assert not refused[np.array(verbs) != codes.PREPARE].any()


def test_words_under_the_mask_always_make_a_command():
    batch = llm_envs.make_batch("Text/World-v0", 16, games=GAMES, threads=1)
    batch.reset_rows(5)
    rng, turns = np.random.default_rng(5), 0
    for _ in range(400):
        masks = batch.action_masks()
        actions = (rng.random(masks.shape) * masks).argmax(1)
        batch.step_rows(actions)
        done = actions == END
        assert (batch.arrays.signals["turn"] == done).all()
        turns += int(done.sum())
    assert turns > 500


def test_without_a_mask_nonsense_costs_no_turn_and_changes_nothing():
    batch = make(GAMES[0], mask="none")
    batch.reset_rows(0)
    assert batch.action_masks()[0].sum() == batch.world.actions - 1  # all but padding
    before, tokenizer = state_of(batch), batch.world.tokenizer
    for word in ("kitchen", "take", END):
        batch.step_rows([word if word == END else tokenizer.token_to_id(word)])
    after = state_of(batch)
    assert batch.arrays.signals["invalid"][0] == 1
    assert batch.arrays.signals["turn"][0] == 0
    assert {**after, "reply": 0} == {**before, "reply": 0}
    assert "You can't see any such thing." in batch.decode(batch.arrays.obs)[0]


def test_a_small_window_holds_the_end_of_the_transcript():
    small, large = (make(GAMES[1], action="index", window=window) for window in (0, 8192))
    rng = np.random.default_rng(2)
    small.reset_rows(0), large.reset_rows(0)
    dropped = False
    for _ in range(60):
        if small.row(0).state.game.ending:
            break
        action = rng.choice(np.flatnonzero(small.action_masks()[0]))
        small.step_rows([action]), large.step_rows([action])
        texts = [b.arrays.obs["tokens"][0, : b.arrays.obs["length"][0, 0]].tolist() for b in (small, large)]
        assert texts[1][-len(texts[0]) :] == texts[0]
        assert not small.arrays.obs["tokens"][0, len(texts[0]) :].any()
        dropped |= len(texts[0]) < len(texts[1])
    assert dropped


def test_windows_too_small_for_a_turn_are_refused():
    with pytest.raises(ValueError, match=r"window is 64; it must be even, and at least \d+: a turn of these games can"):
        build("Text/World-v0", {"games": [GAMES[0]], "window": 64})


def test_games_too_large_are_refused_by_field_and_excess():
    game = key_quest.generate(0)
    room = next(iter(game.of_kind("r"))).id
    more = {f"o_{k}": Thing(f"o_{k}", f"pebble {k}a") for k in range(100, 180)}
    facts = (*game.facts, *(("at", thing, room) for thing in more))
    large = dataclasses.replace(game, things={**game.things, **more}, facts=facts)
    with pytest.raises(ValueError, match=r"has \d+ portables, \d+ more than the 64 a game may have"):
        compile_games([game, large])


def test_a_larger_pool_moves_no_game_to_another_split():
    few, many = (build("Text/KeyQuest-v0", {"pool": pool}).levels for pool in (10, 30))
    assert (few["key"] == many["key"][:10]).all()
    assert (percentile(few) == percentile(many)[:10]).all()


LONG = """\
start: cave
rooms:
  cave:
    contents: [{one}, {two}]
things:
  {one}: key
  {two}: {{is: container, state: locked, key: {one}, contents: [pearl]}}
  pearl: {{}}
quests:
  - {{win: pearl in hands}}
walkthrough: [take {one}, unlock {two} with {one}, open {two}, take pearl from {two}]
"""
NUMERALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def test_every_admissible_command_can_be_typed_however_long():
    names = {"one": " ".join(["key", *NUMERALS]), "two": " ".join(["box", *NUMERALS])}
    batch = llm_envs.make_batch("Text/Story-v0", 1, stories=[LONG.format(**names)], autoreset="never")
    batch.reset_rows(0)
    plan = batch.world.solution(batch.row(0))
    assert max(len(list(word)) for end, word in itertools.groupby(plan, lambda token: token == END) if not end) == 28
    for token in plan:
        assert batch.action_masks()[0, token]
        batch.step_rows([token])
    assert batch.arrays.signals["win"][0] == 1


def test_a_walkthrough_of_other_words_gives_way_to_the_solver():
    made = key_quest.generate(3, locks=1, rooms=4)
    game = dataclasses.replace(made, walkthrough=[command.removeprefix("go ") for command in made.walkthrough])
    assert game.walkthrough != made.walkthrough
    found = winning_commands(next(iter(compile_games([game]).symbols.values())))
    assert play(game, found).ending == "won"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"facts": True}, "facts are reported in `info`, which needs observation='text' or action='text'"),
        ({"mask": "none", "action": "admissible"}, "mask='none' is for actions 'tokens' and 'index'"),
        ({"mask": "none", "action": "text"}, "action is 'text'"),
    ],
)
def test_options_without_effect_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build("Text/World-v0", options)


def test_options_are_refused_whatever_was_built_before():
    build("Text/Treasure-v0", {"level": 3, "pool": 2})
    with pytest.raises(TypeError, match=r"level must be an integer, not 3\.0"):
        build("Text/Treasure-v0", {"level": 3.0, "pool": 2})
    with pytest.raises(TypeError, match=r"level is \[3\]; it must be a number, a truth value or a string"):
        build("Text/Treasure-v0", {"level": [3], "pool": 2})


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"facts": "no"}, TypeError, "facts must be True or False, not 'no'"),
        ({"facts": None}, TypeError, "facts must be True or False, not None"),
        ({"shows": None}, TypeError, "shows is None; it must be a list of 'description' and 'inventory', or empty"),
        ({"shows": ["score"]}, ValueError, "shows is 'score'; it must be one of 'description', 'inventory'"),
        ({"games": [None]}, TypeError, r"games\[0\] is None; it must be a path or a Game"),
        ({"games": GAMES[0]}, TypeError, "^games is one Game; it must be a list of paths or games$"),
        ({"games": "a.json"}, TypeError, "games is 'a.json'; it must be a list of paths or games"),
        ({"games": 3}, TypeError, "games is 3; it must be a list of paths or games"),
    ],
    ids=str,
)
def test_arguments_of_another_type_are_refused(option, error, message):
    with pytest.raises(error, match=message):
        build("Text/World-v0", option)


def test_a_large_window_of_text_is_in_its_space():
    env = gym.make("Text/House-v0", action="text", observation="text", pool=1, max_steps=0, window=8192).unwrapped
    env.reset(seed=0)
    shown = [env.step("look")[0] for _ in range(200)]
    assert max(map(len, shown)) > 16_384
    assert all(text in env.observation_space for text in shown)


def test_letters_beyond_ascii_are_in_the_spaces():
    story = "objective: The café is shut.\nstart: hall\nrooms:\n  hall:\n    contents: [apple]\n"
    story += "things:\n  apple: food\nquests:\n- win: apple in hands\n"
    env = gym.make("Text/Story-v0", stories=[story], action="text", observation="text").unwrapped
    text, _ = env.reset(seed=0)
    assert text.startswith("The café is shut.")
    assert text in env.observation_space
    assert "go to the café" in env.action_space
    assert "λ" not in env.action_space
    assert env.step("take apple" + 300 * "λ")[0].endswith("You can't see any such thing.")


def test_solutions_win_in_every_form():
    for action in ("tokens", "index", "admissible"):
        batch = llm_envs.make_batch("Text/World-v0", 1, games=GAMES[:1], action=action, max_steps=0, autoreset="never")
        batch.reset_rows(0)
        for step in batch.world.solution(batch.row(0)):
            batch.step_rows([step])
        assert batch.arrays.terminated[0]
        assert batch.arrays.signals["win"][0] == 1
        assert batch.row(0).state.game.score == sum(quest.reward for quest in GAMES[0].quests if quest.win)
