"""The table of verbs, and what derives from it. Games are compiled; no compiled rules are needed."""

from functools import partial

import pytest
from numba import njit

from llm_envs.engine.jit import fingerprint
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.compiler.pool import compile_games
from llm_envs.text.games.cooking import cooking
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.language import replies
from llm_envs.text.parser import grammar, parser
from llm_envs.text.records import codes
from llm_envs.text.rules.table import VERBS, Verb
from llm_envs.text.rules.turn import dispatcher

READ_BY_THE_PARSER = {"search", "push"}  # the answer depends on the thing
NEVER_REACHED = {"give"}  # nobody is there to be given anything
GAMES = {"cooking": cooking.generate(0, recipe=2, cook=True, cut=True, open=True), "keys": key_quest.generate(0)}


@pytest.mark.parametrize("name", GAMES)
def test_every_command_is_found_by_its_rank(name):
    """`rules.admissible.command_of` reads the number of a command from (verb, x, ordinal of y)."""
    plan = Plan(GAMES[name])
    (level,) = compile_games([GAMES[name]]).levels
    for number, command in enumerate(plan.commands):
        x = 0 if command.x == codes.NONE else command.x
        rank = level["first_rank"][command.verb] + x * level["stride"][command.verb] + command.ordinal
        assert level["ranks"][rank] == number, command
    assert (level["ranks"] >= 0).sum() == level["num_commands"] == len(plan.commands)


def test_every_verb_has_commands_in_the_games_that_have_its_things():
    found = {name: {command.verb for command in Plan(game).commands} for name, game in GAMES.items()}
    assert found["cooking"] | {codes.LOCKING, codes.UNLOCKING, codes.DRINK} == set(range(codes.VERBS))
    assert {codes.LOCKING, codes.UNLOCKING} <= found["keys"]
    assert not found["keys"] & {verb.code for verb in VERBS if verb.cooking}


def test_a_key_fits_one_lock():
    game = GAMES["keys"]
    locks = {f"lock {game.things[lock].name} with {game.things[key].name}" for _, key, lock in game.named("match")}
    assert {command.text for command in Plan(game).commands if command.verb == codes.LOCKING} == locks


def test_every_sentence_has_a_meaning():
    """An action that is neither a verb nor an answer would fail only when somebody types it."""
    lines = (*grammar.BASE_GRAMMAR.values(), *grammar.COOKING_GRAMMAR.values())
    actions = {sentence.action for sentences in lines for sentence in sentences}
    assert actions <= {*grammar.ACTIONS, *parser.ANSWERS, *READ_BY_THE_PARSER, *NEVER_REACHED}
    assert set(grammar.ACTIONS) - actions == set()


def rows(*rules) -> list[Verb]:
    return [Verb(code, rule, ("act",), "", ()) for code, rule in enumerate(rules)]


@njit
def add(state, x, y):
    return state + 10 * x + 100 * y


def test_the_dispatcher_gives_a_rule_what_it_names():
    carry_out = dispatcher(rows(5, add, partial(add, y=7), replies.CARRYING))
    assert [carry_out(1, 0, verb, 2, 3) for verb in range(4)] == [5, 321, 721, replies.CARRYING]


def test_kernels_are_compiled_again_when_a_row_changes():
    """The dispatch is written out of the table; the fingerprint of a kernel must reach through it."""
    rules = (5, 6, add, partial(add, y=7), partial(add, y=8))
    assert len({fingerprint(dispatcher(rows(rule))) for rule in rules}) == len(rules)
    assert fingerprint(dispatcher(rows(add))) == fingerprint(dispatcher(rows(add)))


def test_rows_stand_in_the_order_of_codes_and_share_no_form():
    """A level has a rank and a stride for each code; two rows with one form would give a command two meanings."""
    assert [verb.code for verb in VERBS] == list(range(codes.VERBS))
    assert len({form for verb in VERBS for form in verb.forms}) == sum(len(verb.forms) for verb in VERBS)
