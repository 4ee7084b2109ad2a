"""A deployed policy keeps learning while it serves, from a reward that has changed, near to its released version.

A policy learns to sort symbols and is released, as a file. Then it serves: requests come in rounds, and its sampled
answers are paid by its users. They have begun to want short answers: each token beyond the fourth costs 1, and whether
the answer is right is no longer paid. After each round PPO takes an update on what was served. Half of the prompts have
right answers that are short enough, and the users still care for those, though the new reward does not say so.

This is done without and with a KL term to the released version in PPO's loss. Both learn to be short; the one without
goes on to drift where the reward is silent, and forgets how to sort. The table shows, of the answers of a round:

    requests    answers served so far
    new         mean of the new reward; 0 at best
    old         share of right answers, what the released version was trained for; about 0.5 if all answers are short
    KL          nats a token, from the released version

    python examples/online_adaptation.py --kl 0.15 --rounds 36
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from agents import PPO, TransformerPolicy, evaluate, generate, warm_start
from agents.kl import k3
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.rewards import Reward, Transition
from llm_envs.vocabulary import END

WORLD, CONFIG = "Tokens/Copy-v0", {"task": "sort", "length": 6, "vocab_size": 8}
EQUALS = 2  # the token between prompt and answer
LIMIT = 4  # tokens of an answer, <end> included, that cost nothing
STEPS = 16  # tokens of each row in a round
PROMPTS = ["ca=", "gbe=", "dbca=", "hafcbe="]


@dataclass(frozen=True)
class Options:
    """Release a policy, then let it serve and learn from a changed reward, without and with a KL term."""

    kl: float = 0.15
    """Coefficient of the KL term in the second run."""
    rounds: int = 36
    """Rounds of serving, each followed by an update."""
    every: int = 5
    """Rounds between two lines of the table."""
    rows: int = 128
    """Requests that are answered at the same time."""
    released_at: float = 0.9
    """Share of right answers at which the policy is released."""
    seed: int = 0
    out: Path = Path("runs/online_adaptation")
    """Folder of the released policy."""
    quick: bool = False
    """An early release and a few rounds, to see it run."""


def short(transition: Transition) -> torch.Tensor:
    """Return minus the tokens of the finished answers beyond `LIMIT`, (M,) of 0 or less."""
    tokens, length = transition.obs["tokens"], transition.obs["length"].flatten()
    answer = length - 1 - (tokens == EQUALS).int().argmax(dim=1)  # the first "=" ends the prompt
    return -(answer - LIMIT).clamp(min=0).float()


def make_ppo(options: Options, kl: dict | None = None, **reward: dict | list) -> PPO:
    """Return PPO on the stream of requests, paid as `weights` and `rewards` say."""
    return PPO(
        "TransformerPolicy",
        TensorVecEnv(WORLD, options.rows, seed=options.seed, **reward, **CONFIG),
        n_steps=STEPS,
        batch_size=1024,
        n_epochs=4,
        learning_rate=1e-3,
        gamma=1.0,
        gae_lambda=1.0,
        seed=options.seed,
        device="cpu",
        policy_kwargs={"backbone": {"width": 64, "layers": 2, "heads": 4, "positions": "learned"}},
        kl=kl,
    )


def release(options: Options, path: Path) -> None:
    """Write a policy that imitated solutions until enough of its answers were right."""
    model = make_ppo(options)

    def good_enough(count: int, loss: float) -> bool:
        if count % 20:
            return False
        found = evaluate(model, WORLD, "validation", deterministic=False, max_levels=300, transcripts=0, **CONFIG)
        return found.signals["exact"] >= options.released_at

    warm_start(model, WORLD, episodes=8000, epochs=20, stop=good_enough, seed=options.seed, **CONFIG)
    model.save(path)


@torch.no_grad()
def distance(model: PPO, released: TransformerPolicy) -> float:
    """Return the KL of a token in the last round's answers from the released policy, in nats."""
    buffer = model.rollout_buffer
    served = buffer.samples(buffer.valid_indices(), buffer.runs())
    theirs = released.get_distribution(served.observations).log_prob(served.actions)
    return float(k3(served.old_log_prob, theirs).mean())


def serve(name: str, path: Path, options: Options, coefficient: float) -> PPO:
    """Serve and learn from the released version on; print the table."""
    term = {"coefficient": coefficient, "estimator": "k3", "place": "loss"} if coefficient else None
    model = make_ppo(options, term, weights={"exact": 0.0}, rewards=[Reward(short, at_end=True)])
    model.set_parameters(path)  # the first `learn` freezes a copy of this, to which the KL term holds
    released, requests = PPO.load(path, device="cpu").policy, 0
    for count in range(options.rounds):
        # A rollout of sampled answers, then an update on them; log_interval=None leaves what was logged to be read.
        model.learn(STEPS * options.rows, reset_num_timesteps=False, log_interval=None)
        requests += int(model.rollout_buffer.tensors["dones"].sum())
        if count % options.every == 0 or count == options.rounds - 1:
            new, old = (model.logger.name_to_value[f"signals/{signal}"] for signal in ("short", "exact"))
            print(f"{name:10}  {count + 1:5}  {requests:8}  {new:+6.3f}  {old:5.3f}  {distance(model, released):6.3f}")
    return model


def main() -> None:
    """Release, serve twice, and show some answers of all three policies."""
    options = tyro.cli(Options, description=__doc__)
    if options.quick:
        options = replace(options, rounds=12, every=1, rows=64, released_at=0.3)
    torch.set_num_threads(1)  # more do not help matrices as small as these
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "released.zip"
    release(options, path)
    print("run         round  requests     new    old      KL")
    models = {"released": PPO.load(path, device="cpu")}
    for name, coefficient in (("without KL", 0.0), ("with KL", options.kl)):
        models[name] = serve(name, path, options, coefficient)
    tokenizer = models["with KL"].env.batch.world.tokenizer
    print("most likely answers", *(f"{prompt:>10}" for prompt in PROMPTS))
    for name, model in models.items():
        answers = generate(model, PROMPTS, temperature=0, end_token=END, max_new_tokens=7, tokenizer=tokenizer)
        print(f"{name:19}", *(f"{answer or '-':>10}" for answer in answers))


if __name__ == "__main__":
    main()
