"""The templates of `replies`, compiled for the rules: PARTS[PARTS_FROM[r] : PARTS_FROM[r + 1]] are (what, a, b).

A literal is (WORDS, where in RUNS, how many tokens); a slot that speaks of x, y or z is (what, 0, 1 or 2, glued), where
glued says that no space comes before it, as only [the x] allows.
"""

import numpy as np
from numba import njit

from llm_envs.text.language import replies
from llm_envs.text.language.listing import AND, COMMA, add_list, add_name, fixed_tokens
from llm_envs.text.language.pieces import FIXED_IDS, NUMBER_WORDS, SLOT, template_literals
from llm_envs.text.model.game import DIRECTIONS
from llm_envs.text.records.codes import LOST, OPTIONAL, REPEATABLE

WORDS, NAME, THE_NAME, LISTED, HANDS, WAY, VERB, LINK, GAIN, SCORE, MOST, POINTS, TURNS = range(13)
SLOTS = {"": NAME, "the": THE_NAME, "contents": LISTED, "way": WAY}
OTHERS = {
    "hands": HANDS, "verb": VERB, "link": LINK, "gain": GAIN, "score": SCORE, "most": MOST, "points": POINTS,
    "turns": TURNS,
}  # fmt: skip


def _compile_replies() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    runs: list[int] = []
    parts: list[tuple[int, int, int]] = []
    starts = [0]
    for number in range(len(replies.TEMPLATES)):
        template = replies.TEMPLATES[number]
        slots = list(SLOT.finditer(template))
        for literal, slot in zip(template_literals(template), (*slots, None), strict=True):
            if literal:
                parts.append((WORDS, len(runs), len(literal)))
                runs += [FIXED_IDS[piece] for piece in literal]
            if slot:
                parts.append(_compile_slot(slot[1], continues=template[: slot.start()][-1:].strip() != ""))
        starts.append(len(parts))
    return np.array(parts), np.array(starts), np.array(runs, np.int16)


def _compile_slot(slot: str, continues: bool) -> tuple[int, int, int]:
    what, _, letter = slot.rpartition(" ")
    if continues and what != "the":
        raise ValueError(f"a template of replies has no space before [{slot}]")
    return (OTHERS[slot], 0, 0) if slot in OTHERS else (SLOTS[what], "xyz".index(letter), continues)


PARTS, PARTS_FROM, RUNS = _compile_replies()
DIGITS, MORE_DIGITS = fixed_tokens(*"0123456789"), fixed_tokens(*(f"##{digit}" for digit in range(10)))
SMALL_NUMBERS = fixed_tokens(*NUMBER_WORDS)
VERB_TOKENS = fixed_tokens(*replies.VERB_WORDS)
LINK_TOKENS = fixed_tokens(*(replies.LINKS.get(verb, "") for verb in replies.VERB_WORDS))
WAY_TOKENS = fixed_tokens(*DIRECTIONS)
THE, GLUED_THE, DASH, MINUS, HUNDRED, THOUSAND = map(
    int, fixed_tokens("the", "##the", "-", "minus", "hundred", "thousand")
)
A_POINT, MANY_POINTS, A_TURN, MANY_TURNS = map(int, fixed_tokens("point", "points", "turn", "turns"))


@njit
def add_phrase(state, level, observation, n, phrase):
    """Add a template of `replies`, with its slots filled."""
    for k in range(PARTS_FROM[phrase], PARTS_FROM[phrase + 1]):
        what = PARTS[k, 0]
        if what == WORDS:
            for j in range(PARTS[k, 2]):
                observation.tokens[n + j] = RUNS[PARTS[k, 1] + j]
            n += PARTS[k, 2]
        elif what <= WAY:
            slot = PARTS[k, 1]
            thing = state.x if slot == 0 else state.y if slot == 1 else state.z
            n = add_slot(state, level, observation, n, what, np.int64(thing), PARTS[k, 2] == 1)
        else:
            n = add_number(state, level, observation, n, what)
    return n


@njit
def add_slot(state, level, observation, n, what, thing, glued):
    """Add a slot that speaks of a thing or way."""
    if what == WAY:
        observation.tokens[n] = WAY_TOKENS[thing]
        return n + 1
    if what in (LISTED, HANDS):
        holder = np.int64(level.rooms) + (level.fixed if what == HANDS else thing - level.portables)
        return add_list(state, level, observation, n, holder)
    if what == THE_NAME and level.article[thing] != 0:
        observation.tokens[n] = GLUED_THE if glued else THE
        return add_name(level, observation, n + 1, thing)
    end = add_name(level, observation, n, thing)
    if glued:  # the glued form of a door's first piece stands before its name
        observation.tokens[n] = level.tokens[level.name[thing] - 1]
    return end


@njit
def add_number(state, level, observation, n, what):
    """Add a slot for a verb or a number. The clock begins at 1, and a lost game stops it a turn earlier."""
    if what in (VERB, LINK):
        token = VERB_TOKENS[state.z] if what == VERB else LINK_TOKENS[state.z]
    elif what == GAIN:
        n = add_words(observation, n, np.int64(state.gain))
        token = A_POINT if -1 <= state.gain <= 1 else MANY_POINTS
    elif what == TURNS:
        turns = state.turns + (state.ending != LOST)
        n = add_digits(observation, n, turns)
        token = A_TURN if turns == 1 else MANY_TURNS
    elif what == MOST:
        return add_digits(observation, n, most_points(level))
    else:
        score = state.score + (state.gain if state.ending == LOST else 0)
        n = add_digits(observation, n, score)
        if what == SCORE:
            return n
        token = A_POINT if score == 1 else MANY_POINTS
    observation.tokens[n] = token
    return n + 1


@njit
def add_digits(observation, n, number):
    """Add a whole number in digits."""
    glued = number < 0
    if glued:
        observation.tokens[n] = DASH
        n, number = n + 1, -number
    power = 1
    while number // power >= 10:
        power *= 10
    while power > 0:
        digit = number // power % 10
        observation.tokens[n] = MORE_DIGITS[digit] if glued else DIGITS[digit]
        n, power, glued = n + 1, power // 10, True
    return n


@njit
def add_words(observation, n, number):
    """Add a whole number below a million in words: "minus two thousand, one hundred and five"."""
    if number < 0:
        observation.tokens[n] = MINUS
        n, number = n + 1, -number
    if number < 1000:
        return add_hundreds(observation, n, number, False)
    n = add_hundreds(observation, n, number // 1000, False)
    observation.tokens[n] = THOUSAND
    n += 1
    if number % 1000 == 0:
        return n
    return add_hundreds(observation, n, number % 1000, True)


@njit
def add_hundreds(observation, n, number, more):
    """Add a number below a thousand in words; `more`: after thousands."""
    if number >= 100:
        if more:
            observation.tokens[n] = COMMA
            n += 1
        observation.tokens[n], observation.tokens[n + 1] = SMALL_NUMBERS[number // 100], HUNDRED
        n, number, more = n + 2, number % 100, True
        if number == 0:
            return n
    if more:
        observation.tokens[n] = AND
        n += 1
    observation.tokens[n] = SMALL_NUMBERS[number]
    return n + 1


@njit
def endless(level):
    """Say whether some quest can be scored again and again."""
    for quest in range(level.quests):
        flags = level.quest_flags[quest]
        if flags & REPEATABLE and (not flags & OPTIONAL or level.quest_reward[quest] > 0):
            return True
    return False


@njit
def most_points(level):
    """Return the sum of the rewards, as TextWorld counts: without the losses that one may leave."""
    total = np.int64(0)
    for quest in range(level.quests):
        if not level.quest_flags[quest] & OPTIONAL or level.quest_reward[quest] > 0:
            total += level.quest_reward[quest]
    return total
