"""Story: a game that a user wrote, in about 40 lines of YAML.

Description:  Rooms, exits, doors, things and quests are those of the files; docs/guide/stories.md describes the format.
              Without any, a small lighthouse: find the key, fetch the lens from the locked chest, put it onto the lamp
              stand.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: go, take, drop, put, insert, open, close, lock, unlock, eat, examine, look,
              inventory.
Reward:       score: the points that the story's quests give. win: 1 when all that are not optional are done. lose: 1
              when what one of them forbids has happened. turn, invalid: as in Text/World-v0. All but score weigh 0
              unless asked for.
Termination:  The game is won or lost.
Truncation:   After max_steps commands (50).
Arguments:    stories (list of str, None): paths, or YAML texts of more than one line; each is one game of the pool.
              observation, action, mask, shows, facts, window, max_steps: as in Text/World-v0.
Errors:       What is wrong with a story is a ValueError with the file, line and column, what stands there and what may.
Source:       Rules after TextWorld (Cote et al., 2018), theme "base"; the format is this project's own.

    -= Beach =-
    Waves roll in over grey pebbles. You can go north. There is a brass key on the floor.
    > take brass key
    You pick up the brass key from the ground.
    > go north
    -= Lamp Room =-
    Dust lies on everything. You notice a lamp stand. There is a locked chest here.
    > unlock chest with brass key
    You unlock the chest.
    > open chest
    You open the chest, revealing a lens.
    > take lens from chest
    You take the lens from the chest. Your score has just gone up by one point.
"""

from collections.abc import Sequence
from os import PathLike

from llm_envs.text.formats.story.read import load_story
from llm_envs.text.interface.world import check_interface, games_world
from llm_envs.validation import check_list, check_path
from llm_envs.world import World

__all__ = ["BUILT_IN", "load_story", "story"]

BUILT_IN = """\
name: lighthouse
objective: The lamp is dark. Find the lens and put it onto the lamp stand. Keep away from the berries.
start: beach
rooms:
  beach:
    text: Waves roll in over grey pebbles.
    exits: {north: lamp room}
    contents: [brass key, berries]
  lamp room:
    text: Dust lies on everything.
    contents: [lamp stand, chest]
things:
  brass key: key
  berries: {is: food, article: some}
  lamp stand: supporter
  chest: {is: container, state: locked, key: brass key, contents: [lens]}
  lens: {text: A ring of cut glass.}
quests:
  - {win: lens in hands, fail: berries is eaten}
  - {win: lens on lamp stand, reward: 2}
walkthrough: [take brass key, go north, unlock chest with brass key, open chest, take lens from chest,
              put lens on lamp stand]
"""


def story(
    stories: Sequence[str | PathLike] | None = None,
    observation: str = "tokens",
    action: str = "tokens",
    mask: str = "admissible",
    shows: Sequence[str] = (),
    facts: bool = False,
    window: int = 0,
    max_steps: int = 50,
) -> World:
    """Build the world; see the module for the arguments."""
    if isinstance(stories, (str, PathLike)):
        raise TypeError("stories must be a list of paths or YAML texts; put the one you gave into a list")
    check_interface(observation, action, mask, shows, facts, window, max_steps)
    if stories is not None:
        check_list("stories", stories, "paths or YAML texts")
        if not len(stories):
            raise ValueError("stories is empty; give at least one, or None for the story that comes with the package")
        for i, one in enumerate(stories):
            check_path(f"stories[{i}]", one)
    games = [
        load_story(text_or_path, f"stories[{i}]" if "\n" in str(text_or_path) else "")
        for i, text_or_path in enumerate([BUILT_IN] if stories is None else stories)
    ]
    return games_world(
        games,
        observation=observation,
        action=action,
        mask=mask,
        shows=shows,
        facts=facts,
        window=window,
        max_steps=max_steps,
        custom_levels=True,  # nothing is held out of the one story of the package, either
    )
