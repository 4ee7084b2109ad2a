"""Gold against proxy reward as a policy leaves its start: how a learned reward is over-optimised, and what KL does.

The world is sorting; the gold reward is the share of right symbols. A policy that gets half of them right, after a
short warm start, writes pairs of answers, of which the better one is preferred, though not always. From a few hundred
such pairs a Bradley-Terry reward model is fitted, and PPO optimises that, the proxy, alone. Every few rollouts both
rewards and the KL divergence from the start are measured on levels not trained on. The proxy keeps rising; gold rises,
too, as long as the policy writes texts like those that were compared, then falls. This is done without and with a KL
term in PPO's loss.

The axes are those of Gao et al. (2023), "Scaling laws for reward model overoptimization": d = sqrt(KL), and over it
the gain in gold reward, to which their equation for RL is fitted, d (alpha - beta log d).

    python examples/reward_model.py --pairs 500 --noise 0.1 --out runs/reward_model
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

from agents import PPO, TransformerPolicy, evaluate, warm_start
from agents.evaluation.runner import play, policy_actions, sweep_batch
from agents.kl import full
from agents.preferences import preference_pairs
from agents.reward_model import RewardModel, fit
from llm_envs.adapters.sb3 import TensorVecEnv

WORLD, CONFIG = "Tokens/Copy-v0", {"task": "sort", "length": 6, "vocab_size": 8}
GOLD, NOTHING = {"exact": 0.0, "match": 1.0}, {"exact": 0.0, "match": 0.0}  # weights of the world's signals
BACKBONE = {"width": 64, "layers": 2, "heads": 4, "positions": "learned"}  # of the policy
JUDGE = {**BACKBONE, "width": 32}  # of the reward model


@dataclass(frozen=True)
class Options:
    """Optimise a learned reward with PPO and measure the gold one."""

    pairs: int = 500
    """Comparisons, four fifths of them to learn from."""
    noise: float = 0.1
    """Temperature of the labels, in units of the gold reward; 0 for labels without error."""
    kl: float = 0.3
    """Coefficient of the KL term in the second run."""
    rollouts: int = 30
    """Rollouts of PPO, and updates, in each run."""
    every: int = 2
    """Rollouts between two measurements."""
    rows: int = 256
    """Rows of the environment, which make 16 steps a rollout."""
    levels: int = 1024
    """Validation levels that are played in a measurement; the gold reward's standard error is 0.45 / sqrt(levels)."""
    seed: int = 0
    out: Path = Path("runs/reward_model")
    """Folder of the picture."""
    quick: bool = False
    """Small sizes, to see it run; the curve means nothing then."""


@dataclass(frozen=True)
class Point:
    """A policy on the validation levels, actions sampled."""

    rollout: int
    distance: float  # sqrt of the KL divergence of a whole answer from the start's, in nats
    gold: float  # share of right symbols
    proxy: float  # in standard deviations over the reward model's training texts
    length: float  # tokens


def make_ppo(options: Options, rewards: tuple = (), kl: dict | None = None) -> PPO:
    """Return PPO that is paid `rewards` and nothing else."""
    env = TensorVecEnv(WORLD, options.rows, seed=options.seed, weights=NOTHING, rewards=rewards, **CONFIG)
    return PPO(
        "TransformerPolicy",
        env,
        n_steps=16,
        batch_size=8 * options.rows,
        n_epochs=4,
        learning_rate=1e-3,
        gamma=1.0,
        gae_lambda=1.0,
        seed=options.seed,
        device="cpu",
        policy_kwargs={"backbone": BACKBONE},
        kl=kl,
    )


def make_start(options: Options) -> TransformerPolicy:
    """Return a policy that imitated solutions until half of its symbols were right."""
    model = make_ppo(options)

    def stop(count: int, loss: float) -> bool:
        if count % 10:
            return False
        found = evaluate(model, WORLD, "validation", deterministic=False, max_levels=300, transcripts=0, **CONFIG)
        return found.signals["match"] >= 0.5

    warm_start(model, WORLD, episodes=4000, epochs=8, stop=stop, seed=options.seed, **CONFIG)
    return model.policy


def measure(policy: TransformerPolicy, start: TransformerPolicy, judge: RewardModel, options: Options) -> Point:
    """Play the validation levels once.

    The KL of an answer is the sum over its tokens of the exact KL of the next token, averaged over sampled answers: for
    that unbiased, and of less variance than log-ratios.
    """
    config = {**CONFIG, "weights": GOLD, "rewards": [judge.as_reward()]}
    batch = sweep_batch(WORLD, "validation", 512, options.levels, "cpu", config)
    act = policy_actions(policy, deterministic=False)

    @torch.no_grad()
    def minus_kl(obs: dict, actions: torch.Tensor) -> torch.Tensor:
        mine, theirs = (each.get_distribution(obs).distribution.logits for each in (policy, start))
        return -full(mine, theirs)

    with torch.random.fork_rng([]):  # measuring does not change what is learned
        torch.manual_seed(0)
        played = play(batch, lambda obs, *_: act(obs), minus_kl)
    gold, proxy = (float(played.signals[name].mean()) for name in ("match", "proxy"))
    return Point(0, max(float(played.losses.mean()), 0.0) ** 0.5, gold, proxy, float(played.lengths.mean()))


def optimise(start: TransformerPolicy, judge: RewardModel, options: Options, kl: float) -> list[Point]:
    """Let PPO optimise the reward model from `start` on; return what was measured on the way."""
    term = {"coefficient": kl, "estimator": "k3", "place": "loss"} if kl else None
    model = make_ppo(options, (judge.as_reward(),), term)
    model.policy.load_state_dict(start.state_dict())
    # load_state_dict keeps the tensors that it is given: without a copy the runs would share their optimisers' moments.
    model.policy.optimizer.load_state_dict(copy.deepcopy(start.optimizer.state_dict()))
    points = [measure(model.policy, start, judge, options)]
    for rollout in range(1, options.rollouts + 1):
        model.learn(16 * options.rows, reset_num_timesteps=False)
        if rollout % options.every == 0 or rollout == options.rollouts:
            points.append(replace(measure(model.policy, start, judge, options), rollout=rollout))
    return points


def fit_curve(points: list[Point]) -> tuple[float, float]:
    """Return alpha and beta of gold(d) - gold(0) = d (alpha - beta log d), by least squares (Gao et al., 2023)."""
    d = np.array([point.distance for point in points[1:]])
    gain = np.array([point.gold for point in points[1:]]) - points[0].gold
    alpha, beta = np.linalg.lstsq(np.stack((d, -d * np.log(d)), axis=1), gain, rcond=None)[0]
    return float(alpha), float(beta)


def draw(path: Path, runs: dict[str, list[Point]], curve: tuple[float, float]) -> None:
    """Draw gold and proxy reward over sqrt(KL), as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 7), constrained_layout=True)
    for name, points in runs.items():
        distances = [point.distance for point in points]
        above.plot(distances, [point.gold for point in points], "o-", ms=3, label=name)
        below.plot(distances, [point.proxy for point in points], "o-", ms=3, label=name)
    first = next(iter(runs.values()))
    d = np.linspace(1e-3, max(point.distance for point in first), 100)
    fitted = first[0].gold + d * (curve[0] - curve[1] * np.log(d))
    above.plot(d, fitted, "k:", label=f"d ({curve[0]:.3f} - {curve[1]:.3f} log d)")
    above.set(ylabel="gold: share of right symbols", title="Optimising a learned reward")
    below.set(xlabel="d = sqrt(KL from the start), nats^0.5", ylabel="proxy, standard deviations")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Fit the reward model, optimise it twice, print the table and draw the picture."""
    options = tyro.cli(Options, description=__doc__)
    if options.quick:
        options = replace(options, pairs=100, rollouts=4, every=1, rows=64, levels=128)
    torch.set_num_threads(1)  # more do not help matrices as small as these
    torch.manual_seed(options.seed)
    start = copy.deepcopy(make_start(options))
    pairs = preference_pairs(WORLD, options.pairs, start, options.noise, seed=options.seed, weights=GOLD, **CONFIG)
    judge = RewardModel.for_world(WORLD, JUDGE, **CONFIG)
    found = fit(judge, pairs, seed=options.seed)
    wrong = float((pairs.gold[:, 0] < pairs.gold[:, 1]).float().mean())
    print(f"reward model: {found.pairs} pairs, {wrong:.0%} of the labels wrong; on {found.held_out} held-out pairs")
    print(f"    {found.accuracy:.3f} are scored as labelled, {found.gold_accuracy:.3f} in the order of the gold reward")

    runs = {}
    print("run         rollout  sqrt(KL)    gold   proxy  tokens")
    for name, coefficient in (("without KL", 0.0), ("with KL", options.kl)):
        runs[name] = optimise(start, judge, options, coefficient)
        for p in runs[name]:
            print(f"{name:10}  {p.rollout:7}  {p.distance:8.3f}  {p.gold:6.3f}  {p.proxy:+6.3f}  {p.length:6.2f}")
    for name, points in runs.items():
        best, last = max(points, key=lambda point: point.gold), points[-1]
        print(
            f"{name}: gold {points[0].gold:.3f}, at best {best.gold:.3f} at sqrt(KL) {best.distance:.2f}, last ", end=""
        )
        print(f"{last.gold:.3f} at {last.distance:.2f}; proxy {points[0].proxy:+.3f}, last {last.proxy:+.3f}")
    curve = fit_curve(runs["without KL"])
    print(f"without KL, gold gains d ({curve[0]:.3f} - {curve[1]:.3f} log d)")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(options.out / "overoptimisation.png", runs, curve)
    print(f"picture in {options.out / 'overoptimisation.png'}")


if __name__ == "__main__":
    main()
