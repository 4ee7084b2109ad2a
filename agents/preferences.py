"""Preference pairs under their public names; `agents.supervised.preferences` has them."""

from agents.supervised.preferences import Pairs, preference_pairs

__all__ = ["Pairs", "preference_pairs"]
