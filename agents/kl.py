"""KL estimators and coefficients under their public names; `agents.objectives.kl` has them."""

from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient, estimator, full, k1, k2, k3

__all__ = ["AdaptiveCoefficient", "FixedCoefficient", "estimator", "full", "k1", "k2", "k3"]
