"""The solver's records: what a level fixes, what one state still asks for, and the buffers of the search."""

import numpy as np

from llm_envs.text.records.state import STATES, TABLES, Size
from llm_envs.world import record

LARGEST = Size(**STATES[-1], **{**TABLES[-1], "code": 1, "tokens": 1})  # every game is solved in this size
HOLDERS, LOCKS = LARGEST.rooms + LARGEST.fixed + 1, LARGEST.fixed + LARGEST.doors
ONE_OF = 100  # a further kind of condition: portable a is at one of the holders static.targets[b]
ANYWHERE = 254  # in static.heat_room: that heat is found in several rooms
STOPS = 9  # the most stops of a tour whose exact length is found; the table of costs has 2^STOPS rows
CACHED_TOURS = 2**16
BUCKETS = 2**16  # of the priority queue; a larger priority counts as the last one

STATIC = record(  # the same in every state of a search; `prepare` fills it, `survey_map` its part about the map
    # which commands and things may be of use, see llm_envs.text.solver.relevance
    allowed=(np.uint8, (LARGEST.commands,)),
    may_drop=(np.uint8, (LARGEST.portables, LARGEST.rooms)),  # a portable on the floor of a room
    unconstrained=(np.uint8, (LARGEST.portables,)),  # nothing that can be done with it is ruled out
    useful_blade=(np.uint8, (LARGEST.portables,)),  # worth having while something is to be cut
    may_cut=(np.uint8, (LARGEST.portables,)),  # may have to be cut
    may_burn=(np.uint8, (LARGEST.portables,)),  # may have to be burned
    may_unlock=(np.uint8, (LOCKS,)),  # may have to be unlocked
    quests_of=(np.uint64, (LARGEST.portables,)),  # bits: the quests for which it may be of use
    # what the code of a state holds, see llm_envs.text.solver.state_codes
    movable=(np.int16, (LARGEST.portables,)),  # portables whose holder can change
    num_movable=np.int16,
    foods=(np.int16, (LARGEST.portables,)),  # portables that can be cut, cooked, eaten or used
    num_foods=np.int16,
    locks=(np.int16, (LOCKS,)),  # containers and doors that can be opened or closed
    num_locks=np.int16,
    encodes_slots=np.uint8,  # 1 where it matters which places in the hands are free, not only how many
    code_length=np.int16,  # bytes
    # what must be done: the conditions of quest q are needs first_need[q] .. first_need[q + 1] - 1
    required=np.uint64,  # bits: quests
    first_need=(np.int16, (LARGEST.quests + 1,)),
    needs=(np.uint8, (LARGEST.conditions, 3)),  # (kind, a, b) as in level.conditions, or (ONE_OF, portable, quest)
    targets=(np.uint8, (LARGEST.quests, HOLDERS)),  # of a quest's ONE_OF
    only_blade=np.uint8,  # the one portable that cuts, or NONE
    heat_room=(np.uint8, (3,)),  # where food is grilled, roasted, fried: a room, NONE or ANYWHERE
    # the map, as if every door that can be opened were open
    distance=(np.uint8, (LARGEST.rooms, LARGEST.rooms)),  # in commands; NONE where there is no way
    side=(np.uint8, (LARGEST.doors, LARGEST.rooms)),  # rooms of equal number are connected without the door
    is_bridge=(np.uint8, (LARGEST.doors,)),  # the door is the only way between the rooms on its two sides
)

SUBGOALS = record(  # what every way to win must do from one state on, see llm_envs.text.solver.subgoals
    dead_end=np.uint8,  # 1 if the state cannot be won
    prepare_meal=np.uint8,
    hold=(np.uint8, (LARGEST.portables,)),  # is to be taken
    to_fetch=(np.uint8, (LARGEST.portables,)),  # the same as a list
    num_to_fetch=np.int16,
    cook=(np.uint8, (LARGEST.portables,)),  # the heat: 1 for any, 0 for not to be cooked
    cut=(np.uint8, (LARGEST.portables,)),
    eat=(np.uint8, (LARGEST.portables,)),
    deliveries=(np.uint8, (LARGEST.conditions, 2)),  # (portable, holder that it is to be put in)
    num_deliveries=np.int16,
    destinations=(np.int16, (LARGEST.portables,)),  # how many deliveries a portable has
    lock_actions=(np.uint8, (LOCKS,)),  # bits: to be opened, closed, locked, unlocked
    rooms=(np.uint8, (LARGEST.rooms,)),  # to be visited
    num_rooms=np.int16,
    index_of=(np.uint8, (LARGEST.rooms,)),  # of a room in `rooms`, or NONE
    before=(np.uint64, (LARGEST.rooms,)),  # bits: which of `rooms` come before the last visit to each of them
)

WORKSPACE = record(  # buffers, written and read again within one search
    # the commands that an expansion follows
    applicable=(np.int16, (2 * LARGEST.commands,)),
    num_applicable=np.int32,
    # how far the tables of the search are in use, and the heads of its queue's buckets
    num_nodes=np.int32,
    num_entries=np.int32,
    lowest=np.int32,  # no bucket below this one has an entry
    heads=(np.int32, (BUCKETS,)),  # the newest entry of each bucket, -1 for none
    # the shortest tour over the rooms to visit, see llm_envs.text.solver.shortest_walk
    stop_room=(np.uint8, (STOPS,)),
    stop_before=(np.uint64, (STOPS,)),  # bits: the stops that come before
    cost=(np.int16, (2**STOPS, STOPS)),  # of visiting a set of stops, by the last one
    tours=(np.uint64, (CACHED_TOURS, 3)),  # a cache: two hashes and the length
)

NODE = record(  # a state that the search has reached
    parent=np.int32,  # the node before, -1 at the root
    command=np.int32,  # that led here from there
    steps=np.int32,  # g: commands from the root, as few as known so far
    steps_left=np.int32,  # h: a lower bound on the commands from here to a win
    won=np.int32,
)

ENTRY = record(  # of the queue
    node=np.int32,
    steps=np.int32,  # the node's when it was queued: if it has fewer by now, the entry is outdated
    following=np.int32,  # the next entry of the same bucket, -1 for none
)
