"""Whole numbers as tokens, in digits and in words. The rules are called as those of `writing` are."""

from numba import njit

from llm_envs.text.language.pieces import FIXED_IDS, NUMBER_WORDS, fixed_tokens
from llm_envs.text.language.writing import write

DIGITS, MORE_DIGITS = fixed_tokens(*"0123456789"), fixed_tokens(*(f"##{digit}" for digit in range(10)))
SMALL_NUMBERS = fixed_tokens(*NUMBER_WORDS)  # 0 to 99
DASH, MINUS, HUNDRED, THOUSAND, AND = map(int, fixed_tokens("-", "minus", "hundred", "thousand", "and"))
COMMA = FIXED_IDS["##,"]


@njit
def add_digits(observation, n, number):
    """Write a whole number in digits, a token each; all but the first token continue the one before."""
    first = number >= 0
    if number < 0:
        n, number = write(observation, n, DASH), -number
    # The highest power of ten in the number: digits come from the front, and there is no buffer.
    power = 1
    while number // power >= 10:
        power *= 10
    while power > 0:
        digit = number // power % 10
        n = write(observation, n, DIGITS[digit] if first else MORE_DIGITS[digit])
        power, first = power // 10, False
    return n


@njit
def add_words(observation, n, number):
    """Write a whole number below a million in words: "minus two thousand, one hundred and five"."""
    if number < 0:
        n, number = write(observation, n, MINUS), -number
    thousands, rest = number // 1000, number % 1000
    if thousands > 0:
        # Below a million, thousands are a number below a thousand themselves.
        n = add_hundreds(observation, n, thousands, False)
        n = write(observation, n, THOUSAND)
        if rest == 0:
            return n
    return add_hundreds(observation, n, rest, thousands > 0)


@njit
def add_hundreds(observation, n, number, more):
    """Write a number below a thousand in words; `more`: after thousands."""
    # Inform separates thousands from hundreds by a comma, and the last two digits by "and".
    if number >= 100:
        if more:
            n = write(observation, n, COMMA)
        n = write(observation, n, SMALL_NUMBERS[number // 100])
        n = write(observation, n, HUNDRED)
        number, more = number % 100, True
        if number == 0:
            return n
    if more:
        n = write(observation, n, AND)
    return write(observation, n, SMALL_NUMBERS[number])
