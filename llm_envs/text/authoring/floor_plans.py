"""Plans of rooms on a square grid, drawn at random."""

from collections.abc import Sequence

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.model.game import DIRECTIONS, beside


def lay_out(maker: Maker, names: Sequence[str], extra: float = 0.0) -> list[str]:
    """Make a room for each name and join them by free exits as `floor_plan` says; return their ids, as the names."""
    rooms = [maker.room(name) for name in names]
    for here, way, there in floor_plan(maker, len(names), extra):
        maker.connect(rooms[here], way, rooms[there])
    return rooms


def floor_plan(maker: Maker, count: int, extra: float = 0.0) -> list[tuple[int, str, int]]:
    """Draw a plan of rooms 0 to `count` - 1 on a square grid: the passages (room, direction, other room).

    First a random tree: passage k - 1 leads from a lower room to room k. Then each further pair of neighbours is joined
    with chance `extra`.
    """
    cells, passages = {(0, 0): 0}, []
    for k in range(1, count):
        # An entry for each free side: rooms with more of them are extended more often, so plans spread out.
        open_sides = [
            (room, way, beside(cell, way))
            for cell, room in cells.items()
            for way in DIRECTIONS
            if beside(cell, way) not in cells
        ]
        near, way, cell = maker.pick(open_sides)
        passages.append((near, way, k))
        cells[cell] = k
    # A passage has no direction.
    joined = {frozenset((here, there)) for here, _, there in passages}
    for cell, room in cells.items():
        # Two directions are enough to visit each pair of neighbours once.
        for way in ("north", "east"):
            other = cells.get(beside(cell, way))
            if other is not None and {room, other} not in joined and maker.rng.random() < extra:
                passages.append((room, way, other))
    return passages
