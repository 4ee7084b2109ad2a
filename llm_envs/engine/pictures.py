"""Text as a picture: how a world without a drawing of its own becomes an `rgb_array`, in NumPy alone.

A page has one size, whatever stands on it, since a video is made of equal frames: long lines are wrapped between words,
and of a text that is longer than the page the end is drawn, which is where a transcript grows.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from llm_envs.engine.font import CELL_HEIGHT, CELL_WIDTH, GLYPHS, glyph_numbers
from llm_envs.world import World

HEIGHT, WIDTH, MARGIN = 480, 960, 12  # pixels; both sides are multiples of 16, as video codecs like them
SMALLEST, LARGEST = 2, 5  # pixels of the picture for one of the font
PALETTE = np.array([(22, 24, 30), (208, 211, 217), (255, 184, 77)], np.uint8)  # background, the world, the policy


def page_size(scale: int) -> tuple[int, int]:
    """Return how many lines and columns of characters a page has at a scale."""
    return (HEIGHT - 2 * MARGIN) // (CELL_HEIGHT * scale), (WIDTH - 2 * MARGIN) // (CELL_WIDTH * scale)


def scale_for(characters: int) -> int:
    """Return the largest scale at which a page holds so many characters, or the smallest one that there is."""
    for scale in range(LARGEST, SMALLEST, -1):
        lines, columns = page_size(scale)
        if characters <= lines * columns:
            return scale
    return SMALLEST


def wrap(text: str, columns: int) -> list[tuple[int, int]]:
    """Return the lines of a text as spans [start, end) of its characters, none longer than `columns`.

    A line ends at a line break, or at the last space that leaves it short enough; a longer word is cut.
    """
    lines, start = [], 0
    for paragraph in text.split("\n"):
        stop = start + len(paragraph)
        while stop - start > columns:
            space = text.rfind(" ", start + 1, start + columns + 1)
            # A space just after the last column still ends the line: it is not drawn.
            end = space if space > 0 else start + columns
            lines.append((start, end))
            start = end + (space > 0)  # the space itself is not drawn
        lines.append((start, stop))
        start = stop + 1  # after the line break
    return lines


def draw_text(text: str, policy: Sequence[tuple[int, int]] = (), scale: int = SMALLEST) -> np.ndarray:
    """Return a text as a picture.

    Args:
        text: what to draw; tabs are single spaces, a character that the font lacks is a box.
        policy: spans [start, end) of the characters that the policy wrote, drawn in another colour.
        scale: pixels of the picture for one of the font.

    Returns:
        (HEIGHT, WIDTH, 3) uint8, the end of the text where it does not fit.
    """
    lines, columns = page_size(scale)
    text = text.replace("\t", " ")
    colours = np.ones(len(text), np.uint8)  # an index into PALETTE
    for start, end in policy:
        colours[start:end] = 2
    numbers = glyph_numbers(text)
    cells, inks = np.zeros((lines, columns), np.int64), np.ones((lines, columns), np.uint8)
    # cells: a glyph's number, inks: its colour, (lines, columns) each; rows that the text does not fill stay spaces.
    for y, (start, end) in enumerate(wrap(text, columns)[-lines:]):
        cells[y, : end - start], inks[y, : end - start] = numbers[start:end], colours[start:end]
    # (lines, columns, 10, 6) -> (lines, 10, columns, 6) -> one small picture of palette indices
    small = (GLYPHS[cells] * inks[:, :, None, None]).swapaxes(1, 2).reshape(lines * CELL_HEIGHT, columns * CELL_WIDTH)
    page = np.zeros((HEIGHT, WIDTH), np.uint8)
    # (lines * 10, columns * 6) -> scale times as high and as wide, without blurring
    large = small.repeat(scale, 0).repeat(scale, 1)
    page[MARGIN : MARGIN + large.shape[0], MARGIN : MARGIN + large.shape[1]] = large
    return PALETTE[page]


def draw_transcript(
    world: World, obs: Mapping[str, np.ndarray], steps: int, decode: Callable[[Mapping], str]
) -> np.ndarray:
    """Return a row's `tokens` as a picture, the policy's words in another colour.

    Args:
        world: whose row it is.
        obs: the row's observation, with `tokens` (T,), `length` (1,) and perhaps `token_mask` (T,).
        steps: steps taken in the episode.
        decode: an observation as text.
    """

    def characters(tokens: int) -> int:
        """Return how many characters the first tokens are: their text begins the whole one, however they are joined."""
        return len(decode({**obs, "length": np.array([tokens])}))

    # Tokens are not letters: where a token's text begins in the whole text, only decoding tells.
    spans = [(characters(start), characters(end)) for start, end in policy_tokens(world, obs, steps)]
    # The scale follows from the window, not from the text of this step: all frames of a video have the same.
    longest = len(obs["tokens"]) * longest_token(world)
    return draw_text(decode(obs), spans, scale_for(longest))


def policy_tokens(world: World, obs: Mapping[str, np.ndarray], steps: int) -> list[tuple[int, int]]:
    """Return which of an observation's tokens the policy wrote, as spans [start, end)."""
    length = int(obs["length"][0])
    if "token_mask" in obs:
        # +1 where a run of 1 begins, -1 after its end
        edges = np.diff(obs["token_mask"][:length].astype(np.int8), prepend=0, append=0)
        return list(zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True))
    # Where an action is a token and the world adds none, every step appended one.
    return [(max(length - steps, 0), length)] if world.actions_are_tokens and steps else []


def longest_token(world: World) -> int:
    """Return the letters of the longest word of a world's vocabulary, special tokens left out."""
    words = [word for word in world.tokenizer.get_vocab() if not word.startswith("<")] if world.tokenizer else []
    return max(map(len, words), default=1)
