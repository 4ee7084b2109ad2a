"""A hand-made text game with every construct of descriptions, and a state that tests set by names."""

import numpy as np

from llm_envs.text.compiler.texts import Texts
from llm_envs.text.language import render
from llm_envs.text.language.pieces import Vocabulary, tokenizer
from llm_envs.text.model.game import THEMES, Game, Thing
from llm_envs.text.records import codes
from llm_envs.text.records import state as state_records
from llm_envs.text.records.numbering import number
from llm_envs.world import record

KITCHEN = (
    "You're in a 'kitchen'.\n\n You see [if c_0 is locked]a locked[else if c_0 is open]an open[otherwise]a closed"
    "[end if] chest.[if c_0 is open and there is something in the c_0] The chest holds [a list of things in the c_0]."
    "[end if]"
    "[if c_0 is open and the c_0 contains nothing] It is empty![end if] A table. "
    "[if there is something on the s_0]On the table: [a list of things on the s_0].[end if]"
    "[if there is nothing on the s_0]Bare.[end if] To the east is [if d_0 is closed]a shut[else]an open[end if] oak"
    " door."
)
THINGS = (
    Thing("r_0", "kitchen", KITCHEN),
    Thing("r_1", "king's hall 12", "Echoes."),
    Thing("d_0", "oak door", "The [noun]. [if open]It is open.[else if locked]It is locked.[otherwise]It is closed."),
    Thing("c_0", "chest", "A [noun] ([if closed]shut[otherwise]open[end if])."),
    Thing("s_0", "long table"),
    Thing("toaster_0", "BBQ", "For grilling."),
    Thing("o_0", "milk", "White.", indefinite="some"),
    Thing("f_0", "apple", "An apple."),
    Thing("k_0", "iron key", "It's the 'king's'."),
    Thing("f_1", "bell pepper"),
)
GAME = Game("made", "base", {thing.id: thing for thing in THINGS}, (), (), 'Find the "key".')
NUMBERS = number(GAME, ["look", "put iron key on long table", "take iron key"])
SIZE = state_records.Size(16, 16, 24, 16, 64, 64, 128, 512, 1024, 1024)
SHOWN = record(tokens=(np.int32, (512,)), length=np.int32, token_mask=(np.int8, (512,)))
ANSWER = 1 << render.INFERRED | 1 << render.REPLY


class Scene:
    """A game, a state to be set by names, and its texts."""

    def __init__(self, game: Game = GAME) -> None:
        texts = Texts(game, NUMBERS)
        self.vocabulary = Vocabulary(texts.pieces)
        self.levels = np.zeros(1, state_records.level_kind(SIZE))
        level = self.levels[0]
        for name in ("rooms", "fixed", "portables", "doors"):
            level[name] = len(getattr(NUMBERS, name))
        level["theme"] = THEMES.index(game.theme)
        texts.write(level, self.vocabulary)
        self.level = self.levels.view(np.recarray)[0]
        self.state = np.zeros(1, state_records.game_kind(SIZE)).view(np.recarray)[0]
        self.state.x, self.state.y, self.state.z = codes.NONE, codes.NONE, codes.NONE
        self.state.first[:], self.state.after[:] = codes.NONE, codes.NONE

    def fill(self, holder: str, *things: str) -> "Scene":
        """Put portables into a holder, in the order of lists."""
        numbers = [NUMBERS.portables[thing] for thing in things]
        for k, after in zip(numbers, [*numbers, codes.NONE][1:], strict=True):
            self.state.after[k] = after
        self.state.first[NUMBERS.holders[holder]] = numbers[0] if numbers else codes.NONE
        return self

    def say(self, rule, *more) -> str:
        """Return the text that a rule appends, as one line."""
        shown = np.zeros(1, SHOWN).view(np.recarray)[0]
        rule(self.state, self.level, shown, *more)
        assert not shown.tokens[shown.length :].any()
        assert not shown.token_mask.any()
        ids = shown.tokens[: shown.length].tolist()
        assert tokenizer(self.vocabulary.pieces).encode(self.vocabulary.decode(ids)).ids == ids
        return " ".join(self.vocabulary.decode(ids).split())

    def reply(self, number: int, x: str = "", y: str = "", z: str = "") -> str:
        """Return a reply that speaks of these things."""
        self.state.reply = number
        self.state.x, self.state.y, self.state.z = (NUMBERS.things.get(thing, codes.NONE) for thing in (x, y, z))
        return self.say(render.render_parts, ANSWER)
