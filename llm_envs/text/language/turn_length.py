"""An upper bound on the tokens of a turn, from the programs of its texts."""

import numpy as np

from llm_envs.text.language import phrases, program, replies
from llm_envs.text.language.render import SHOW_DESCRIPTION, SHOW_INVENTORY
from llm_envs.text.records.codes import COOKING, NONE

LONGEST_NUMBER = 12  # tokens of a slot for a number, in words or digits, with its noun


def longest_turn(levels: np.ndarray, included: int = SHOW_DESCRIPTION | SHOW_INVENTORY) -> int:
    """Return an upper bound on the tokens that a turn of any of these levels needs space for.

    A turn is what `render_turn` writes, or the objective with the first description and the inventory.

    Args:
        levels: (M,) records of `records.state.level_kind`.
        included: what each reply includes: the bits SHOW_DESCRIPTION and SHOW_INVENTORY.
    """
    return max(_longest_turn(level, included) for level in levels)


def _longest_turn(level: np.void, included: int) -> int:
    things = int(level["portables"] + level["fixed"] + level["doors"])
    bound = _Bound(level)

    def most(entries: np.ndarray) -> int:
        return max((bound.of(int(entry)) for entry in entries), default=0)

    rooms, examined = most(level["room_text"][: level["rooms"]]), most(level["thing_text"][:things])
    objective = most(level["objective"][None])
    of = [bound.of(int(entry)) for entry in phrases.ENTRIES]  # by phrase
    inventory = of[replies.CARRYING]
    # The phrases of inferred nouns lie between the replies and the notices.
    inferred = max(of[replies.REPLIES : replies.GONE_UP])
    reply = max(rooms, examined, objective, *of[: replies.REPLIES]) + inferred
    # Of each of these pairs a turn prints at most one.
    notices = of[replies.RESTART_PROMPT]
    for one, other in (
        (replies.GONE_UP, replies.CHANGED),
        (replies.THE_END, replies.YOU_LOST),
        (replies.SCORED, replies.SCORED_IN_ALL),
    ):
        notices += max(of[one], of[other])
    extra = (rooms if included & SHOW_DESCRIPTION else 0) + (inventory if included & SHOW_INVENTORY else 0)
    # Either a turn, or the start of an episode; the first description comes without a reply.
    return max(reply + notices + extra, objective + rooms + inventory)


class _Bound:
    """The most tokens that each text of a level can have."""

    def __init__(self, level: np.void) -> None:
        things, portables = int(level["portables"] + level["fixed"] + level["doors"]), int(level["portables"])
        names = level["name_words"][:things].tolist()
        prefixes = 2 if level["theme"] >= COOKING else 0  # "sliced raw"
        self.name = max(names, default=0) + prefixes
        # A list of everything, with articles and commas.
        self.everything = 1 + sum(names[:portables]) + portables * (2 + prefixes)
        self.code = [*phrases.CODE.tolist(), *level["code"].tolist()]  # by address

    def of(self, address: int) -> int:
        """Return the bound for the text whose program begins at an address."""
        code = self.code
        most = {address: 0}  # before each instruction, over the paths to it
        lists = [0] * (NONE + 1)  # how often each holder's contents are listed
        # Jumps lead forward only, so one pass in order of addresses sees every path to an instruction first.
        while code[address] != program.END:
            op, so_far = code[address], most[address]
            following = address + program.length_of(op, code[address + 2] if op == program.TEST else 0)
            if op == program.CONTENTS:
                lists[code[address + 1]] += 1
            if op in (program.JUMP, program.TEST):
                target = code[address + 1]
                most[target] = max(most.get(target, 0), so_far)
            if op != program.JUMP:
                most[following] = max(most.get(following, 0), so_far + self._tokens(address))
            address = following
        # A thing is in one holder only, so that each list can be of everything only while the others are empty.
        return most[address] + max(lists) * self.everything

    def _tokens(self, address: int) -> int:
        """Return the most tokens that the instruction at an address writes."""
        op = self.code[address]
        if op < program.JUMP:
            return self.code[address + 2]
        if op == program.TEST:
            return 0
        if op == program.CONTENTS:
            return 1  # "nothing"; what else it lists is counted for the whole text
        if op == program.PRINTED_NAME:
            return self.name
        if op in (program.CONTENTS_OF, program.HANDS):
            return self.everything
        return 1 + self.name if op <= program.WAY else LONGEST_NUMBER
