"""A saved model carries its vocabulary, and is refused where the same token ids mean other words."""

import pytest

from agents import PPO, evaluate, warm_start
from agents.evaluation.runner import load_policy
from llm_envs import make_batch
from llm_envs.adapters.sb3 import TensorVecEnv


def test_a_policy_is_refused_where_the_vocabulary_is_another(tmp_path):
    """The pools' vocabularies are of one size, so that all shapes fit."""
    few, many = ({"preset": "gata-2", "pool": pool} for pool in (100, 300))
    env = TensorVecEnv("Text/Cooking-v0", 2, **many)
    model = PPO("TransformerPolicy", env, n_steps=4, policy_kwargs={"backbone": {"width": 16, "layers": 1, "heads": 2}})
    assert make_batch("Text/Cooking-v0", 1, **few).world.actions == env.action_space.n
    model.save(tmp_path / "model.zip")
    for learned in (model, load_policy(tmp_path / "model.zip", "cpu")):
        with pytest.raises(ValueError, match="trained with another vocabulary than Text/Cooking-v0 has"):
            evaluate(learned, "Text/Cooking-v0", max_levels=1, oracle=False, **few)
        evaluate(learned, "Text/Cooking-v0", max_levels=1, oracle=False, resamples=1, **many)
    with pytest.raises(ValueError, match="another vocabulary"):
        warm_start(model, "Text/Cooking-v0", 4, **few)
    with pytest.raises(ValueError, match="another vocabulary"):
        PPO.load(tmp_path / "model.zip", TensorVecEnv("Text/Cooking-v0", 2, **few))
    with pytest.raises(ValueError, match="another vocabulary"):
        PPO.load(tmp_path / "model.zip").set_env(TensorVecEnv("Text/Cooking-v0", 2, **few))
