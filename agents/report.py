"""What a training run shows at its end: a table of before and after, sample texts, and a learning curve."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from agents.evaluate import Evaluation


def cells(evaluation: "Evaluation") -> dict[str, str]:
    """Return each quantity's mean and 95 % interval as text; of an evaluation without intervals, the means alone."""
    if not evaluation.estimates:
        means = {"return": evaluation.mean_return, "length": evaluation.mean_length}
        means |= {"terminated": evaluation.terminated}
        means |= {f"signal/{name}": value for name, value in evaluation.signals.items()}
        return {name: f"{mean:.4f}" for name, mean in means.items()}
    return {name: f"{e.mean:.4f} [{e.low:.4f}, {e.high:.4f}]" for name, e in evaluation.estimates.items()}


def print_samples(console: Console, evaluation: "Evaluation") -> None:
    """Print the transcripts, indented."""
    for text in evaluation.transcripts:
        console.print("   " + text.replace("\n", "\n   "), markup=False, highlight=False)


def show(console: Console, title: str, before: "Evaluation", after: "Evaluation") -> None:
    """Print both evaluations side by side and the samples of the second."""
    table = Table(title=title)
    for column in ("mean [95 % interval]", "before RL", "after RL"):
        table.add_column(Text(column), justify="left" if column.startswith("mean") else "right")
    old, new = cells(before), cells(after)
    for name, cell in new.items():
        table.add_row(name, Text(old.get(name, "")), Text(cell))
    table.add_row("episodes", str(before.episodes), str(after.episodes))
    console.print(table)
    print_samples(console, after)


def show_one(console: Console, title: str, evaluation: "Evaluation") -> None:
    """Print an evaluation: each quantity with its interval, and the range of its means by seed and by fold."""
    groups = {"by seed": evaluation.by_seed, "by fold": evaluation.by_fold}
    groups = {name: group for name, group in groups.items() if group}
    table = Table(title=f"{title}, {evaluation.episodes} episodes")
    for column in ("", "mean [95 % interval]", *groups):
        table.add_column(Text(column), justify="right" if column else "left", no_wrap=column not in groups)
    for name, cell in cells(evaluation).items():
        parts = (f"{min(group[name]):.3f} to {max(group[name]):.3f}" for group in groups.values())
        table.add_row(name, Text(cell), *parts)
    console.print(table)
    print_samples(console, evaluation)


def draw_curve(path: Path, history: dict[str, Any], metric: str) -> None:
    """Draw the rollouts' and the validation split's metric against environment steps, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    axes.plot(history["steps"], history["rollout"], lw=1, alpha=0.6, label="rollouts, sampled actions")
    axes.plot(history["validation_steps"], history["validation"], "o-", ms=3, label="validation levels, best actions")
    for key, style in (("before", ":"), ("after", "--")):
        if key in history:
            label = f"test levels, {key} RL: {history[key]:.3f}"
            axes.axhline(history[key], ls=style, color="grey", label=label)
    axes.set(xlabel="environment steps (tokens)", ylabel=metric, title=history.get("world", ""))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
