"""Compiled pools: found again while they are used, and let go of by bytes afterwards."""

import gc
import weakref

from llm_envs.registration import build
from llm_envs.text.interface import pools, world
from llm_envs.text.interface.pools import Pools, size_of


def counted(size):
    """Return a fresh pool of `size` games and a function that makes it."""
    return lambda: build_pool(size)


def build_pool(size):
    from llm_envs.text.compiler.pool import compile_games
    from llm_envs.text.games.key_quest import key_quest

    return compile_games([key_quest.generate(seed, locks=1, rooms=2) for seed in range(size)])


def test_a_pool_in_use_is_found_again_though_none_is_kept():
    cache, made = Pools(most=0), []

    def make():
        made.append(build_pool(1))
        return made[-1]

    held = cache.get("key", make)
    assert cache.get("key", make) is held
    assert len(made) == 1
    gone = weakref.ref(held)
    del held
    made.clear()
    gc.collect()
    assert gone() is None


def test_the_last_used_are_kept_up_to_a_number_of_bytes():
    each = size_of(build_pool(2))
    cache = Pools(most=2 * each)
    seen = [weakref.ref(cache.get(key, counted(2))) for key in "abc"]
    gc.collect()
    assert [one() is not None for one in seen] == [False, True, True]
    cache.get("b", counted(2))
    cache.get("d", counted(2))
    gc.collect()
    assert [one() is not None for one in seen] == [False, True, False]
    cache.clear()
    gc.collect()
    assert seen[1]() is None


def test_a_pool_larger_than_all_that_is_kept_goes_with_its_environment(monkeypatch):
    monkeypatch.setattr(world, "_pools", Pools(most=1000))
    options = {"locks": 1, "rooms": 2, "pool": 3}
    one, other = (build("Text/KeyQuest-v0", options) for _ in range(2))
    assert one.levels is other.levels
    levels = weakref.ref(one.levels)
    del one, other
    gc.collect()
    assert levels() is None


def test_equal_options_of_other_types_are_other_pools(monkeypatch):
    """True equals 1 and 1.0 as a key, but a generator refuses the one and takes the other."""
    cache = Pools()
    monkeypatch.setattr(world, "_pools", cache)
    seen = []

    def generate(seed, locks):
        from llm_envs.text.games.key_quest import key_quest

        seen.append(locks)
        return key_quest.generate(seed, locks=1, rooms=2)

    for locks in (1, True, 1.0):
        world.made(generate, 1, locks=locks)
    assert [type(one) for one in seen] == [int, bool, float]


def test_what_is_said_of_a_tables_size_is_its_order_of_magnitude():
    import sys

    def size(value, seen):
        if id(value) in seen or isinstance(value, type):
            return 0
        seen.add(id(value))
        inner = vars(value).values() if hasattr(value, "__dict__") else ()
        if isinstance(value, dict):
            inner = [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            inner = value
        return sys.getsizeof(value) + sum(size(one, seen) for one in inner)

    pool = build("Text/Cooking-v0", {"preset": "gata-2", "pool": 5}).solution.pool
    each = sum(size(table, set()) for table in pool.symbols.values()) / len(pool.symbols)
    assert pools.OF_A_TABLE / 4 < each < pools.OF_A_TABLE * 4
