"""Search over training options with Optuna: grid, random or TPE, median pruning, a study on disk.

    python -m agents.sweep Tokens/Copy-v0 --search "learning_rate=linear:{log:1e-4:1e-2}" clip_range=0.1,0.2,0.3

The objective is the metric on the validation split at the end of a run; a run is pruned by its earlier values. All
options but those shown are those of `python -m agents.train`, and are the same for every trial. Ranges, by the name of
the option (`backbone.width`, `kl.coefficient`):

    0.1,0.2,0.3         one of these
    uniform:0:1         any number in between; log:1e-4:1e-2 with all magnitudes alike
    int:1:8             a whole number, both ends included; int:16:64:16 in steps
    linear:{log:1:2}    one of the above in braces, put into a text

or in a YAML file (`--space`) as `name: text` or `name: [0.1, 0.2]`. The folder gets `study.db`, a folder a trial,
`results.csv` and `parallel.png`. The same command continues after a kill, a killed trial from its last checkpoint. One
process runs a sweep at a time.
"""

import csv
import itertools
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
import yaml
from rich.console import Console
from rich.table import Table

from agents.evaluation import report
from agents.jobs import settings
from agents.jobs.job import train
from agents.jobs.options import Options as TrainOptions
from llm_envs.cli.arguments import Pairs

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise ImportError("sweeps need Optuna; install it with: pip install 'llm-envs[sweep]'") from error

KINDS = ("uniform", "log", "int")


@dataclass(frozen=True)
class Options:
    """A sweep."""

    search: Pairs = ()  # what to search over, as name=range
    space: Path | None = None  # a YAML file of the same
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: int = 20  # in all, with those of earlier commands; a grid runs each of its points once
    prune: bool = True  # stop a trial whose metric is below the median of the others' at the same step
    startup: int = 5  # trials before pruning begins
    sampler_seed: int = 0
    out: Path = Path("runs/sweep")  # folder of the sweep


@dataclass(frozen=True)
class Range:
    """Values of one option: `choices`, or numbers from `low` to `high`, put into `text` for its {}."""

    text: str = "{}"
    choices: tuple[str, ...] = ()
    kind: str = ""
    low: float = 0.0
    high: float = 0.0
    step: int = 1

    def suggest(self, trial: Trial, name: str) -> str:
        """Return a value drawn by the trial's sampler, in command line form."""
        if self.choices:
            drawn: Any = trial.suggest_categorical(name, self.choices)
        elif self.kind == "int":
            drawn = trial.suggest_int(name, int(self.low), int(self.high), step=self.step)
        else:
            drawn = trial.suggest_float(name, self.low, self.high, log=self.kind == "log")
        return self.text.format(drawn)

    def points(self, name: str) -> list[Any]:
        """Return all values, for a grid; ValueError if they are not finitely many."""
        if self.choices:
            return list(self.choices)
        if self.kind != "int":
            raise ValueError(
                f"{name} is searched over {self.kind}:{self.low:g}:{self.high:g}; a grid needs a list or int"
            )
        return list(range(int(self.low), int(self.high) + 1, self.step))


def parse_range(name: str, given: Any) -> Range:
    """Return the range that a text or a YAML list describes; ValueError for anything malformed."""
    if isinstance(given, (list, tuple)):
        given = ",".join(map(str, given))
    given = str(given)
    text, before = "{}", given
    if "{" in given:
        start, _, rest = given.partition("{")
        given, closing, end = rest.partition("}")
        if not closing or "{" in given + end or "}" in end:
            raise ValueError(f"{name} is searched over {before!r}; it must have one pair of braces")
        text = f"{start}{{}}{end}"
    kind, *numbers = given.split(":")
    if kind not in KINDS:
        return Range(text, choices=tuple(choice.strip() for choice in given.split(",")))
    try:
        low, high, *step = map(float, numbers)
    except ValueError:
        raise ValueError(f"{name} is searched over {before!r}; write for example {kind}:1:8") from None
    whole = kind != "int" or all(number == int(number) for number in (low, high, *step))
    if not (low < high < math.inf) or (kind == "log" and low <= 0) or not whole or len(step) > (kind == "int"):
        raise ValueError(f"{name} is searched over {before!r}; it must go up, int in whole numbers, log from above 0")
    return Range(text, kind=kind, low=low, high=high, step=int(step[0]) if step else 1)


def search_space(options: Options) -> dict[str, Range]:
    """Return the ranges by option; ValueError if there are none, or a malformed one."""
    space = yaml.safe_load(options.space.read_text()) if options.space else {}
    if not isinstance(space, dict):
        raise ValueError(f"{options.space} holds {type(space).__name__}; it must map options to ranges")
    for pair in itertools.chain(*options.search):
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not of the form name=range")
        space[name] = text
    if not space:
        raise ValueError("there is nothing to search over; give --search name=range or --space file.yaml")
    return {name.replace("-", "_"): parse_range(name, text) for name, text in space.items()}


def make_study(options: Options, space: dict[str, Range]) -> optuna.Study:
    """Return the study of a sweep's folder, new or resumed; trials that were running are queued again.

    ValueError if the folder holds a sweep over other ranges.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{(options.out / 'study.db').resolve()}"
    study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)
    written = {name: repr(each) for name, each in space.items()}
    if study.user_attrs.setdefault("space", written) != written:
        raise ValueError(f"{options.out} holds a sweep over other ranges; give another --out")
    study.set_user_attr("space", written)
    # One process runs a sweep, so a trial that is still running was killed.
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.set_user_attr(f"killed {trial.number}", True)
        study.tell(trial.number, state=TrialState.FAIL)
        drawn = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        if drawn.keys() == space.keys():
            study.enqueue_trial(drawn, user_attrs={"folder": folder_name(trial)})
    seed = options.sampler_seed + len(study.trials)  # else a resumed study would repeat its first draws
    study.sampler = (
        optuna.samplers.TPESampler(seed=seed) if options.sampler == "tpe" else optuna.samplers.RandomSampler(seed)
    )
    if options.sampler == "grid":  # queued here: Optuna's GridSampler fails on a trial that is queued again
        for point in grid(space):
            study.enqueue_trial(point, skip_if_exists=True)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=options.startup)
    study.pruner = pruner if options.prune else optuna.pruners.NopPruner()
    return study


def grid(space: dict[str, Range]) -> list[dict[str, Any]]:
    """Return every combination of the ranges' values."""
    points = itertools.product(*(each.points(name) for name, each in space.items()))
    return [dict(zip(space, point, strict=True)) for point in points]


def folder_name(trial: Trial | FrozenTrial) -> str:
    """Return the folder of a trial; a trial that continues a killed one has that one's."""
    return trial.user_attrs.get("folder", f"trial-{trial.number:04d}")


def objective(options: Options, space: dict[str, Range], train_args: Sequence[str]) -> Callable[[Trial], float]:
    """Return the function that Optuna maximises: a training run's last validation."""

    def run(trial: Trial) -> float:
        out = options.out / folder_name(trial)
        drawn = [each for name, r in space.items() for each in (flag(name), r.suggest(trial, name))]
        started = time.monotonic()

        def validated(steps: int, value: float) -> None:
            trial.report(value, steps)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            resume = ["--resume"] if (out / settings.SAVED).is_file() else []
            chosen = parse([*train_args, *drawn, "--out", str(out), *resume], drawn)
            return train(chosen, on_validation=validated)["validation"]
        except ValueError as error:
            trial.set_user_attr("error", str(error))
            raise
        finally:
            trial.set_user_attr("seconds", round(time.monotonic() - started, 1))

    return run


def parse(args: list[str], drawn: list[str]) -> TrainOptions:
    """Return the options of a trial's run; ValueError also where the parser would exit."""
    try:
        return settings.parse(args)
    except SystemExit:
        raise ValueError(f"{' '.join(drawn)} does not fit together, or not with the other options") from None


def flag(name: str) -> str:
    """Return an option's command line flag."""
    return "--" + name.replace("_", "-")


def check(space: dict[str, Range], train_args: Sequence[str]) -> None:
    """Raise, before the first trial, for options that no trial could be trained with."""
    for name, each in space.items():
        value = each.choices[0] if each.choices else int(each.low) if each.kind == "int" else each.low
        settings.parse([*train_args, flag(name), each.text.format(value)])


def rows(study: optuna.Study, space: dict[str, Range]) -> list[dict[str, Any]]:
    """Return a line for each finished trial, the best first, failed ones last."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished() or f"killed {trial.number}" in study.user_attrs:
            continue
        last = max(trial.intermediate_values.items(), default=(0, math.nan))[1]
        value = trial.value if trial.state is TrialState.COMPLETE else last
        line = {"trial": trial.number, "state": trial.state.name.lower(), "value": value}
        line |= {name: trial.params.get(name, "") for name in space}
        found.append({**line, "seconds": trial.user_attrs.get("seconds"), "error": trial.user_attrs.get("error", "")})
    return sorted(found, key=lambda line: (line["state"] != "complete", math.isnan(line["value"]), -line["value"]))


def write(study: optuna.Study, space: dict[str, Range], out: Path) -> list[dict[str, Any]]:
    """Write `results.csv` and `parallel.png`; return the lines."""
    lines = rows(study, space)
    if lines:
        with (out / "results.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, list(lines[0]))
            table.writeheader()
            table.writerows(lines)
    ended = [line for line in lines if not math.isnan(line["value"])]
    if ended:
        logs = [name for name, each in space.items() if each.kind == "log"]
        report.draw_parallel(out / "parallel.png", ended, list(space), logs)
    return lines


def show(console: Console, lines: list[dict[str, Any]]) -> None:
    """Print the table of results."""
    table = Table(title="trials, best first: the metric on validation levels")
    shown = [name for name in lines[0] if name != "error" or any(line["error"] for line in lines)]
    for name in shown:
        table.add_column(name)
    for line in lines:
        table.add_row(*(f"{v:.5g}" if isinstance(v, float) else str(v) for v in (line[name] for name in shown)))
    console.print(table)


def sweep(options: Options, train_args: Sequence[str]) -> list[dict[str, Any]]:
    """Run the remaining trials of a sweep; return a line for each trial, the best first."""
    space = search_space(options)
    check(space, train_args)
    total = len(grid(space)) if options.sampler == "grid" else options.trials
    study = make_study(options, space)
    left = total - len(rows(study, space))
    if left > 0:
        study.optimize(
            objective(options, space, train_args),
            n_trials=left,
            catch=(ValueError,),
            callbacks=[lambda study, _: write(study, space, options.out)],  # type: ignore[list-item]
        )
    return write(study, space, options.out)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `python -m agents.sweep`; exit code 2 for invalid options."""
    given = list(sys.argv[1:] if args is None else args)
    options, train_args = tyro.cli(Options, args=given, description=__doc__, return_unknown_args=True)
    try:
        lines = sweep(options, train_args)
    except ValueError as error:
        print(f"agents.sweep: {error}", file=sys.stderr)
        sys.exit(2)
    show(Console(), lines)
