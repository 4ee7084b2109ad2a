"""Policies for Stable-Baselines3: a backbone with heads, how it reads texts, and how actions are sampled.

Saved models name their policy's class as `agents.policies.TransformerPolicy`.
"""

from agents.policies.policy import TransformerPolicy

__all__ = ["TransformerPolicy"]
