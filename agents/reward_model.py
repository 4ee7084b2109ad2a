"""Reward models under their public names; `agents.supervised.reward_model` has them."""

from agents.supervised.reward_model import Fit, RewardModel, bradley_terry_loss, fit, normalise, pair_scores

__all__ = ["Fit", "RewardModel", "bradley_terry_loss", "fit", "normalise", "pair_scores"]
