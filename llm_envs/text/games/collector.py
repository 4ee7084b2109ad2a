"""Collector: find the one coin in a building of connected rooms and take it, with the commands and text of TextWorld.

Description:  Rooms are joined north, south, east and west; the coin lies on the floor of the last of a chain of `level`
              rooms that begins at the start. The opposite direction leads back, but the map need not fit on paper:
              going around a block leads to a new room. The verbs are go, take, drop, look, inventory and examine.
Observation:  tokens: the transcript, padded on the right with <pad> (0). length: how many they are. token_mask: 1 for
              the words of commands. action_mask: 1 for what is admissible now. See Text/World-v0.
Action:       A command; see Text/World-v0.
Reward:       score: points gained, 1 for taking the coin. Weight 0 unless asked for: win: 1 on winning; lose: 0 here;
              turn: 1 every turn; invalid: 1 for a command that is refused.
Termination:  The coin is taken.
Truncation:   After max_steps commands (50), as in Text/World-v0: a level above 50 needs more.
Arguments:    level (int, 5): rooms on the shortest path, start and coin included, 1 to 100; mode (int, 1): rooms in all
              for each of these, 1 (no wrong turn), 2 or 3 (dead ends), at most 100 rooms. pool, observation, action,
              mask, shows, facts, window, max_steps: as in Text/World-v0.
Levels:       The chain takes a random free exit each time; dead ends hang on its rooms in turn; names are drawn without
              repetition. TextWorld's own number of a difficulty is 100 (mode - 1) + level.
Source:       TextWorld 1.7.0 (Cote et al., 2018), challenges/tw_coin_collector; after Yuan et al. (2018), "Counting to
              Explore and Generalize in Text-based Games". Rules and maps are TextWorld's, the words are not.

    Somewhere in these rooms lies a coin. Find it and take it.
    -= Rose Garden =- You stand in the rose garden. You can go east.
    > go east
    -= Dovecote =- You have come to the dovecote. The way north is open. You can go west.
    > go south
    You can't go that way.
    > go north
    -= Butlery =- This is the butlery. You can go south. There is a coin on the floor.
    > take coin
    You pick up the coin from the ground. Your score has just gone up by one point. *** The End ***
"""

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.names import MANY_ROOMS
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import DIRECTIONS, Game
from llm_envs.validation import check_range


@text_game(pool=100, max_steps=50)
def collector(seed: int, level: int = 5, mode: int = 1) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("level", level, 1, 100)
    check_range("mode", mode, 1, 3)
    if level * mode > len(MANY_ROOMS):
        raise ValueError(f"level={level} with mode={mode} needs {level * mode} rooms; there may be at most 100")
    maker = Maker("collector", "coin", np.random.default_rng(seed))
    rooms = [maker.room(name) for name in maker.draw(MANY_ROOMS, level * mode)]
    ways = []
    for k in range(1, len(rooms)):
        # First the chain, then dead ends at its rooms in turn.
        near = rooms[k - 1 if k < level else k % level]
        # Any free exit, without a grid: the map need not fit on paper (see above).
        ways.append(maker.pick([way for way in DIRECTIONS if way not in maker.exits[near]]))
        maker.connect(near, ways[-1], rooms[k])
    maker.start(rooms[0])
    coin = maker.put("o", "coin", rooms[level - 1], "It is small and golden.")
    maker.quest(("in", coin, "I"))
    walkthrough = [*(f"go {way}" for way in ways[: level - 1]), "take coin"]
    settings = {"level": level, "mode": mode}
    return maker.game("Somewhere in these rooms lies a coin. Find it and take it.", walkthrough, settings)
