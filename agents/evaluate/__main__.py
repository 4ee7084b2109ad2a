"""Evaluation by sweep: every level of a split is played once, in a batch, by the policy's best or sampled actions.

python -m agents.evaluate Tokens/Addition-v0 --model runs/train/model.zip --split test --json out.json
python -m agents.evaluate Tokens/Addition-v0 --model runs/train/model.zip --sampled --seeds 0 1 2 --folds 5
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from agents.evaluation import measures, report
from agents.evaluation.evaluation import Evaluation, evaluate
from agents.evaluation.runner import BATCH_OPTIONS, held_out, load_policy
from llm_envs.cli.arguments import Pairs, parse_values, refusing
from llm_envs.registration import build


@dataclass(frozen=True)
class Options:
    """Evaluate a saved model on every level of a split."""

    world: tyro.conf.Positional[str] = "Tokens/Addition-v0"
    """One of `llm-envs list`."""
    model: str = "runs/train/model.zip"
    """A saved Stable-Baselines3 model, or "random"."""
    set: Pairs = ()
    """The world's configuration, as name=value."""
    weights: Pairs = ()
    """Reward weights by signal, as name=value."""
    split: str | None = None
    """"train", "validation", "test" or "all"; if not given, test, or all where the levels are your own."""
    sampled: bool = False
    """Sample actions; without it the most likely ones are taken."""
    seeds: tuple[int, ...] = (0,)
    """Each seed plays all levels."""
    folds: int = 0
    """Parts of the levels whose means are shown too; 0 for none."""
    reference: Path | None = None
    """A saved model under which the perplexity of the generated text is measured."""
    oracle: bool = True
    """Play the world's own solutions too."""
    success: str | None = None
    """The success signal, if it is not one of the usual."""
    max_levels: int = 0
    """Stop after so many levels; 0 for all."""
    transcripts: int = 3
    """Final observations to show."""
    json: Path | None = None
    """Where to write the result."""
    device: str = "cpu"


def main(args: Sequence[str] | None = None) -> Evaluation:
    """Entry point of `python -m agents.evaluate`; exit code 2 for what cannot be evaluated."""
    options = tyro.cli(
        Options, args=args, prog="python -m agents.evaluate", description=f"{__doc__}\n{measures.__doc__}"
    )
    with refusing("agents.evaluate"):
        config = parse_values(*options.set)
        world = build(options.world, {name: value for name, value in config.items() if name not in BATCH_OPTIONS})
        split = options.split or held_out(world, "test")
        found = evaluate(
            "random" if options.model == "random" else load_policy(options.model, options.device),
            options.world,
            split,
            not options.sampled,
            max_levels=options.max_levels,
            transcripts=options.transcripts,
            device=options.device,
            seeds=options.seeds,
            folds=options.folds,
            reference=None if options.reference is None else load_policy(options.reference, options.device),
            oracle=options.oracle,
            success=options.success,
            weights=parse_values(*options.weights),
            **config,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(found.as_dict(), indent=1))
    report.show_one(Console(), f"{options.world}, {split} levels", found)
    return found


if __name__ == "__main__":
    main()
