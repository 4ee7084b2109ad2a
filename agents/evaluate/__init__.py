"""Evaluation by sweep: every level of a split is played once, in a batch, by the policy's best or sampled actions.

A package, so that `python -m agents.evaluate` runs its `__main__` although `agents` has imported it by then.
"""

from agents.evaluation.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
