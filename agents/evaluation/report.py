"""Reports of finished runs: tables and sample texts, a learning curve, the parallel coordinates of a sweep."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from agents.evaluation.evaluation import Evaluation


def cells(evaluation: "Evaluation") -> dict[str, str]:
    """Return each quantity's mean and 95 % interval as text; the means alone if it has no intervals."""
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


def draw_curve(
    path: Path, history: dict[str, Any], metric: str, splits: tuple[str, str] = ("validation", "test")
) -> None:
    """Draw the metric in rollouts and on two splits against environment steps, as a PNG.

    Args:
        path: of the file.
        history: of a run, as `agents.jobs.job` keeps it.
        metric: the label of the y axis.
        splits: the splits that were played for validation and for the test.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    axes.plot(history["steps"], history["rollout"], lw=1, alpha=0.6, label="rollouts, sampled actions")
    axes.plot(history["validation_steps"], history["validation"], "o-", ms=3, label=f"{splits[0]} levels, best actions")
    for key, style in (("before", ":"), ("after", "--")):
        if key in history:
            label = f"{splits[1]} levels, {key} RL: {history[key]:.3f}"
            axes.axhline(history[key], ls=style, color="grey", label=label)
    axes.set(xlabel="environment steps (tokens)", ylabel=metric, title=history.get("world", ""))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_parallel(path: Path, lines: list[dict[str, Any]], names: list[str], logarithmic: list[str]) -> None:
    """Draw each trial of a sweep as a line through the values of its options, coloured by its `value`, as a PNG.

    Options whose values are not all numbers are categories at equal distances.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = [*names, "value"]
    figure, axes = plt.subplots(figsize=(2.2 * len(columns) + 2, 4.5), constrained_layout=True)
    heights = []
    for x, name in enumerate(columns):
        scaled, ticks = _scaled([line[name] for line in lines], name in logarithmic)
        heights.append(scaled)
        axes.axvline(x, color="black", lw=0.8)
        for height, label in ticks:
            axes.text(x + 0.02, height, label, fontsize=7, va="center")
    values = [line["value"] for line in lines]
    colours = plt.cm.ScalarMappable(plt.Normalize(min(values), max(values)), "viridis")
    for line, trial in sorted(zip(lines, zip(*heights, strict=True), strict=True), key=lambda pair: pair[0]["value"]):
        style = "-" if line.get("state") == "complete" else ":"
        axes.plot(range(len(columns)), trial, style, color=colours.to_rgba(line["value"]), alpha=0.8)
    axes.set(xticks=range(len(columns)), xticklabels=columns, yticks=[], title="solid: complete, dotted: pruned")
    figure.colorbar(colours, ax=axes, label="value")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _scaled(values: list[Any], logarithmic: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Return heights from 0 to 1 of values, and labels at some heights."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        kinds = sorted(set(map(str, values)))
        places = {kind: i / max(len(kinds) - 1, 1) for i, kind in enumerate(kinds)}
        return [places[str(value)] for value in values], [(height, kind) for kind, height in places.items()]
    scale = math.log if logarithmic else float
    low, high = scale(min(numbers)), scale(max(numbers))
    heights = [(scale(number) - low) / ((high - low) or 1.0) for number in numbers]
    return heights, [(height, f"{number:.3g}") for height, number in set(zip(heights, numbers, strict=True))][:12]
