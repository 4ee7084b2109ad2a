"""What an agent on a grid sees: Minigrid's occlusion, on the bits of one row of the view at a time.

A view of width V is V rows of V cells. Row 0 is the agent's own, the agent stands in the middle of it and looks towards
the rows 1, 2, ...; bit k of a row stands for its k-th cell. `clear` has the cells of a row that can be looked through,
`lit` those that are seen. Light starts at the agent, runs sideways through the clear cells of a row up to and including
the first that is not clear, and from every lit clear cell passes to the three cells before it in the next row.

Minigrid walks over the cells one by one (`Grid.process_vis`); this has the same result, which
tests/navigation/test_four_rooms.py checks.
"""

from numba import njit


@njit
def spread(lit, clear, width):
    """Return the cells of a row that are lit once light has run sideways. All bits are within `width`."""
    source = lit & clear
    up = (clear + source) ^ clear  # the carry runs through the rest of a clear run, into the blocker behind it
    down, run, k = source, clear, 1
    while k < width:  # doubling: after each pass light has run 2k cells
        down |= run & (down >> k)
        run &= run >> k
        k *= 2
    return (lit | up | down | (down >> 1)) & ((1 << width) - 1)


@njit
def ahead(lit, clear, width):
    """Return the cells of the next row that are lit by a row in which light has spread."""
    source = lit & clear
    return (source | (source << 1) | (source >> 1)) & ((1 << width) - 1)
