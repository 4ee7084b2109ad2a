"""The templates of `replies` as programs: constants of the compiled rules, see `program`.

CODE holds all programs, TOKENS the tokens of their literals; the program of phrase p begins at ENTRIES[p].
"""

import numpy as np

from llm_envs.text.language import program, replies
from llm_envs.text.language.pieces import FIXED_IDS, SLOT

SLOTS = {
    "": program.NAME, "the": program.THE_NAME, "contents": program.CONTENTS_OF, "way": program.WAY,
    "hands": program.HANDS, "verb": program.VERB, "link": program.LINK, "gain": program.GAIN, "score": program.SCORE,
    "most": program.MOST, "points": program.POINTS, "turns": program.TURNS,
}  # fmt: skip
REGISTERS = "xyz"


def slots(phrase: int) -> list[tuple[int, int]]:
    """Return (instruction, register) of each slot of a phrase; the register is -1 for those without."""
    return [_slot(slot) for slot in SLOT.findall(replies.TEMPLATES[phrase])]


def _slot(text: str) -> tuple[int, int]:
    if text in SLOTS:
        return SLOTS[text], -1
    what, _, letter = text.rpartition(" ")
    return SLOTS[what], REGISTERS.index(letter)


def _program(template: str) -> program.Program:
    made, end = program.Program(), 0
    for slot in SLOT.finditer(template):
        literal, (op, register) = template[end : slot.start()], _slot(slot[1])
        # Slots are printed as after white space (see `program`): only "the" has a form that attaches.
        if slot.start() > 0 and not literal[-1:].isspace() and op != program.THE_NAME:
            raise ValueError(f"a template of replies has no white space before {slot[0]}: {template!r}")
        made.literal(literal)
        made.slot(op, register)
        end = slot.end()
    made.literal(template[end:])
    return made


def _compile() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    programs = [_program(replies.TEMPLATES[phrase]) for phrase in range(len(replies.TEMPLATES))]
    # All literals share one run of tokens, in which each is a stretch.
    pieces, places = program.share({one.run for made in programs for one in made.literals.values()})
    code, entries = list[int](), list[int]()
    for made in programs:
        entries.append(len(code))
        code += made.assemble(len(code), places)
    return np.array(code, np.int16), np.array([FIXED_IDS[piece] for piece in pieces], np.int16), np.array(entries)


CODE, TOKENS, ENTRIES = _compile()
