"""A random player in a text game, in strings: what `gym.make` says, what it is told, and how far luck leads.

The player chooses among `info["admissible_commands"]`. The oracle plays the world's own solution of the same games.

    python examples/text_game_random.py
"""

import random

import gymnasium as gym

import llm_envs  # noqa: F401  (registers the ids)

GAMES = 50
OPTIONS = {"level": 4, "mode": 2, "max_steps": 20}  # 4 rooms to the coin, 4 more that lead nowhere


def play(env: gym.Env, seed: int, solve: bool) -> tuple[float, int, str]:
    """Play one game at random, or by its solution; return its score, its turns and the transcript."""
    rng = random.Random(seed)
    transcript, info = env.reset(seed=seed)
    row = env.unwrapped.batch.row(0)
    world = env.unwrapped.batch.world
    solution = [world.action_names[action] for action in world.solution(row)]
    score, turns, over = 0.0, 0, False
    while not over:
        command = solution[turns] if solve else rng.choice(info["admissible_commands"])
        transcript, reward, terminated, truncated, info = env.step(command)
        score, turns, over = score + reward, turns + 1, terminated or truncated
    return score, turns, transcript


def main() -> None:
    """Show one game, then the means over GAMES."""
    env = gym.make("Text/Coin-v0", observation="text", action="text", **OPTIONS)
    print("\n".join(play(env, 0, solve=False)[2].splitlines()[:12]), "...", sep="\n", end="\n\n")
    print(f"{GAMES} games     score   turns")
    for name in ("random", "oracle"):
        scores, turns, _ = zip(*(play(env, seed, name == "oracle") for seed in range(GAMES)), strict=True)
        print(f"{name:12} {sum(scores) / GAMES:7.2f} {sum(turns) / GAMES:7.1f}")


if __name__ == "__main__":
    main()
