"""What every world shows and pays is what it was when `digests.json` was written."""

import json

import pytest
from trajectories import CONFIGURATIONS, FILE, STRINGS, digest, name

GOLDEN = json.loads(FILE.read_text())
CASES = {name(*case): case for case in CONFIGURATIONS + STRINGS}
# `make test` walks every third configuration, `make test-all` all of them.
SAMPLED = [pytest.param(case, marks=[] if k % 3 == 0 else [pytest.mark.whole]) for k, case in enumerate(CASES)]


@pytest.mark.parametrize("case", SAMPLED)
def test_walks_are_as_they_were(case):
    assert digest(*CASES[case]) == GOLDEN[case]


def test_every_golden_walk_is_taken():
    assert set(CASES) == set(GOLDEN)
