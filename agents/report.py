"""What a training run shows at its end: a table of before and after, sample texts, and a learning curve."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.evaluate import Evaluation


def show(console: Console, title: str, before: Evaluation, after: Evaluation) -> None:
    """Print both evaluations side by side and the samples of the second."""
    table = Table(title=title)
    for column in ("", "before RL", "after RL"):
        table.add_column(column, justify="left" if not column else "right")
    rows: list[tuple[str, float, float]] = [("return", before.mean_return, after.mean_return)]
    rows += [(name, before.signals[name], after.signals[name]) for name in after.signals]
    rows += [("steps", before.mean_length, after.mean_length)]
    for name, a, b in rows:
        table.add_row(name, f"{a:.4f}", f"{b:.4f}")
    table.add_row("levels", str(before.episodes), str(after.episodes))
    console.print(table)
    for text in after.transcripts:
        console.print("   " + text.replace("\n", "\n   "), markup=False, highlight=False)


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
