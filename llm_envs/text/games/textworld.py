"""World: TextWorld's games, by rules that do what its interpreter does.

Description:  Rooms, doors, containers, supporters, keys, food, recipes, quests: games in TextWorld's JSON format,
              played by compiled rules (docs/guide/text-games.md says how exact they are). A command is read, carried
              out or refused, and answered; quests score, and end the game.
Observation:  tokens: int32 (window,), the transcript so far, padded on the right with <pad> (0): the objective and the
              first description, then, turn by turn, the command, the reply and what `shows` names. length:
              int32 (1,), how many they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8
              (A,), 1 for actions that lead to an admissible command. It is only appended to, until a turn might not
              fit: then the oldest window / 2 tokens are dropped in one block. With observation="text": the transcript
              as a string. With observation="state", in place of the transcript, the typed state as numbers: room,
              ending, score, turns, free_slots, used_slots, typed, low, high, holder, lock, food, cut. With
              action="admissible" also commands: int32 (A, words), the tokens of each command in this turn's list.
Action:       "tokens": Discrete(vocabulary), the next word of a command, and <end> (1) to carry it out. "index":
              Discrete(A), a command of the game's own table, sorted; numbers mean something within one game only.
              "admissible": Discrete(A), a command of this turn's sorted list. "text": a string, read as TextWorld's
              parser reads it; a batch takes a list of them, one a row. What cannot be done costs a turn and is refused;
              what cannot be understood costs none.
Reward:       score: the points gained in the step. win, lose: 1 when the game is won or lost; turn: 1 for a command
              that costs a turn; invalid: 1 for one that is refused or not understood (weight 0 unless asked for).
Termination:  All quests that have to be are done (won), or a quest has failed (lost).
Truncation:   After max_steps commands; where words are typed, after as many steps as so many of the longest take.
Arguments:    games (list, None): paths of `.json` or `.json.gz` files, or `llm_envs.text.model.game.Game` objects;
              None for eight small games. observation ("tokens", "text", "state"); action ("tokens", "index",
              "admissible", "text"); mask ("admissible"; "none": any word may be typed); shows (list, []): which of
              "description" and "inventory" follow each reply; facts (bool, False): tell the state's facts in
              `info` too; window (int, 0): tokens of the transcript, even; 0 for the smallest power of two that holds
              two turns, and 1,024; max_steps (int, 500): time limit, in commands; 0 for none. In generated families,
              pool (int): number of games.
Info:         With strings: feedback, description, inventory, admissible_commands, score, max_score, won, lost, facts.
Source:       TextWorld 1.7.0 (Cote et al., 2018, "TextWorld: A Learning Environment for Text-based Games").

    Get the pearl out of the steel chest in the attic.
    -= Attic =-
    You are in the attic. You see a locked steel chest.
    > open steel chest
    You have to unlock the steel chest with the steel key first.
    > unlock steel chest with steel key
    You unlock the steel chest.
    > open steel chest
    You open the steel chest, revealing a pearl.
"""

from collections.abc import Sequence
from pathlib import Path

from llm_envs.text.formats.textworld.read import load
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.interface.world import check_interface, games_world
from llm_envs.text.model.game import Game
from llm_envs.text.model.validation import check
from llm_envs.validation import check_list, check_path, quote
from llm_envs.world import World

BUILT_IN = 8  # games that stand in for the user's


def world(
    games: Sequence[str | Path | Game] | None = None,
    observation: str = "tokens",
    action: str = "tokens",
    mask: str = "admissible",
    shows: Sequence[str] = (),
    facts: bool = False,
    window: int = 0,
    max_steps: int = 500,
) -> World:
    """Build the world; see the module for the arguments."""
    check_interface(observation, action, mask, shows, facts, window, max_steps)
    if isinstance(games, Game):
        raise TypeError("games is one Game; it must be a list of paths or games")
    if games is not None:
        check_list("games", games, "paths or games", 1)
    return games_world(
        built_in() if games is None else [read(game, f"games[{k}]") for k, game in enumerate(games)],
        observation=observation,
        action=action,
        mask=mask,
        shows=shows,
        facts=facts,
        window=window,
        max_steps=max_steps,
        custom_levels=games is not None,
    )


def read(game: str | Path | Game, where: str) -> Game:
    """Return a game of a file, or one that was given as it is, after checking it; `where` is its name in errors."""
    if isinstance(game, (str, Path)):
        check_path(where, game)
        return load(game)
    if not isinstance(game, Game):
        raise TypeError(f"{where} is {quote(game)}; it must be a path or a Game")
    check(game, where)
    return game


def built_in() -> list[Game]:
    """Return the games that are played where the user gives none."""
    return [key_quest.generate(seed, locks=1, rooms=3) for seed in range(BUILT_IN)]
