"""The solver's desk: one record with what is known of a game before a search begins, and the space to work on."""

import numpy as np

from llm_envs.text.records.state import STATES, TABLES, Size
from llm_envs.world import record

LARGEST = Size(**STATES[-1], **{**TABLES[-1], "code": 1, "tokens": 1})  # every game is solved in this size
HOLDERS, LOCKS = LARGEST.rooms + LARGEST.fixed + 1, LARGEST.fixed + LARGEST.doors
ONE_OF = 100  # a further kind of condition: portable a is at one of the holders desk.spots[b]
ANYWHERE = 254  # in desk.heat_room: such heat is in several rooms
NODES = 9  # places to visit of which the shortest walk is found

DESK = record(
    # what may be of use; see llm_envs.text.solver.relevance
    allowed=(np.uint8, (LARGEST.commands,)),
    floor=(np.uint8, (LARGEST.portables, LARGEST.rooms)),  # a portable may be dropped in a room
    loose=(np.uint8, (LARGEST.portables,)),  # nothing is known of what it is good for: nothing is ruled out
    blades=(np.uint8, (LARGEST.portables,)),  # is worth having while something is to be cut
    cuts=(np.uint8, (LARGEST.portables,)),  # may have to be cut
    burns=(np.uint8, (LARGEST.portables,)),  # may have to be burned
    unlocks=(np.uint8, (LOCKS,)),  # may have to be unlocked
    quests_of=(np.uint64, (LARGEST.portables,)),  # for which it may be of use
    # what a state's code tells
    movers=(np.int16, (LARGEST.portables,)),  # portables that can be elsewhere
    num_movers=np.int16,
    foods=(np.int16, (LARGEST.portables,)),  # portables that can be cut, cooked, eaten, used
    num_foods=np.int16,
    locks=(np.int16, (LOCKS,)),  # containers and doors that can be opened or closed
    num_locks=np.int16,
    keeps_slots=np.uint8,  # which places in the hands are free matters, not only how many
    code_bytes=np.int16,
    # what has to be done: the conditions of quest q are needs first_need[q] .. first_need[q + 1] - 1
    required=np.uint64,
    first_need=(np.int16, (LARGEST.quests + 1,)),
    needs=(np.uint8, (LARGEST.conditions, 3)),
    spots=(np.uint8, (LARGEST.quests, HOLDERS)),
    only_blade=np.uint8,  # or NONE
    heat_room=(np.uint8, (3,)),  # of what grills, roasts, fries; NONE or ANYWHERE
    # the map, as if all doors that can be opened were open
    distance=(np.uint8, (LARGEST.rooms, LARGEST.rooms)),
    side=(np.uint8, (LARGEST.doors, LARGEST.rooms)),  # rooms of the same number are joined without the door
    parts_house=(np.uint8, (LARGEST.doors,)),  # the door is the only way between some rooms
    # commands listed in a state
    listed=(np.int16, (2 * LARGEST.commands,)),
    count=np.int32,
    # what a state still asks for; see llm_envs.text.solver.lower_bound
    dead=np.uint8,
    preparing=np.uint8,
    hold=(np.uint8, (LARGEST.portables,)),
    fetched=(np.uint8, (LARGEST.portables,)),  # the same as a list
    num_fetched=np.int16,
    cook=(np.uint8, (LARGEST.portables,)),  # 1, or the heat wanted
    cut=(np.uint8, (LARGEST.portables,)),
    eat=(np.uint8, (LARGEST.portables,)),
    placing=(np.int16, (LARGEST.portables,)),  # how many places it must be brought to
    turns=(np.uint8, (LOCKS,)),  # bits: to be opened, closed, locked, unlocked
    aims=(np.uint8, (LARGEST.conditions, 2)),  # portable and the place it must be brought to
    num_aims=np.int16,
    rooms=(np.uint8, (LARGEST.rooms,)),  # to be visited
    num_rooms=np.int16,
    index_of=(np.uint8, (LARGEST.rooms,)),  # of a room among `rooms`, or NONE
    before=(np.uint64, (LARGEST.rooms,)),  # which of `rooms` come before the last visit to each
    # the walk
    node_room=(np.uint8, (NODES,)),
    node_before=(np.uint64, (NODES,)),
    cost=(np.int16, (2**NODES, NODES)),
)
