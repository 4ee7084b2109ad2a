"""What acts: networks with heads as policies of Stable-Baselines3, how they read texts and how they are sampled.

Saved models name their policy's class as `agents.policies.TransformerPolicy`.
"""

from agents.policies.policy import TransformerPolicy

__all__ = ["TransformerPolicy"]
