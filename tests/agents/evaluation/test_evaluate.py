"""Evaluation against hand calculations: policies whose results follow from the levels, log-probabilities by step."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from rich.console import Console
from stable_baselines3 import A2C, DQN

from agents.evaluate.__main__ import main
from agents.evaluation import metrics, report
from agents.evaluation.evaluation import Evaluation, evaluate
from agents.evaluation.runner import load_policy
from llm_envs import make_batch, registration
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.engine import levels

COPY = {"length": 4, "vocab_size": 3, "pool": 300}
END, EQUALS = 1, 2


def copier(obs, most=100):
    """Copy at most `most` symbols of the prompt, then say <end>."""
    asked = (obs["tokens"] == EQUALS).int().argmax(dim=1)
    said = obs["length"][:, 0].long() - asked - 1
    symbol = obs["tokens"].gather(1, said[:, None]).long()[:, 0]
    return torch.where(said < asked.clamp(max=most), symbol, END)


def prompt_lengths(split="test"):
    return levels.select(make_batch("Tokens/Copy-v0", 1, **COPY).world, split)["length"].astype(float)


@pytest.fixture(scope="module")
def models():
    env = TensorVecEnv("Tokens/Copy-v0", 2, **COPY)
    return [A2C("MultiInputPolicy", env, seed=seed, policy_kwargs={"net_arch": [8]}) for seed in (0, 1)]


# ---------------------------------------------------------------------- sweeps


@pytest.mark.parametrize("rows", [7, 1000])
def test_a_copier_that_stops_early_is_measured_as_calculated(rows):
    """It writes the first of n symbols and <end>: everything follows from n."""
    n = prompt_lengths()
    found = evaluate(lambda obs: copier(obs, 1), "Tokens/Copy-v0", levels_at_once=rows, folds=3, **COPY)
    expected = {
        "return": n == 1,
        "success": n == 1,
        "exact_match": n == 1,
        "regret": n > 1,
        "length": np.full(len(n), 2),
        "terminated": np.ones(len(n)),
        "accuracy": 1 / n,
        "precision": np.ones(len(n)),
        "recall": 1 / n,
        "f1": 2 / (1 + n),
        "signal/exact": n == 1,
        "signal/match": 1 / n,
    }
    assert set(found.estimates) == {*expected, "distinct_1", "distinct_2"}
    assert found.episodes == len(n)
    for name, values in expected.items():
        estimate, error = found.estimates[name], np.std(values) / np.sqrt(len(n))
        assert estimate.mean == pytest.approx(np.mean(values)), name
        assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.15, abs=1e-6), name
        assert found.by_fold[name] == pytest.approx([np.mean(values[part]) for part in metrics.folds(len(n), 3)])
    assert found.estimates["distinct_1"].mean == 3 / len(n)  # three symbols, one a text
    assert found.estimates["distinct_2"].mean == 0
    assert found.mean_return == found.signals["exact"] == found.estimates["return"].mean
    assert (found.mean_length, found.terminated) == (2.0, 1.0)


def test_a_right_copier_has_no_regret():
    found = evaluate(copier, "Tokens/Copy-v0", split="all", **COPY).estimates
    for name in ("success", "exact_match", "accuracy", "precision", "recall", "f1"):
        assert found[name] == metrics.Estimate(1.0, 1.0, 1.0), name
    assert found["regret"] == metrics.Estimate(0.0, 0.0, 0.0)
    assert found["length"].mean == pytest.approx(np.mean(prompt_lengths("all")) + 1)


def test_success_and_regret_where_nothing_is_written():
    """Towards the goal in x, then in y, is a shortest way without obstacles; going left alone seldom gets there."""

    def greedy(obs):
        x, y = (obs["goal"] - obs["state"])[:, :2].unbind(1)
        beside = x.abs() <= 0.1
        return torch.where(beside, torch.where(y > 0, 2, 3), torch.where(x > 0, 1, 0))

    best = evaluate(greedy, "PathPlanner-v0", pool=400).estimates
    assert not {"exact_match", "f1", "distinct_1", "perplexity"} & set(best)
    assert best["success"].mean == 1.0
    assert best["regret"] == metrics.Estimate(0.0, 0.0, 0.0)
    left = evaluate(lambda obs: torch.zeros(len(obs["state"]), dtype=torch.long), "PathPlanner-v0", pool=400).estimates
    assert left["success"].mean < 0.5
    assert left["regret"].mean == pytest.approx(10 * (1 - left["success"].mean))
    steps = evaluate(greedy, "PathPlanner-v0", pool=400, success="step", oracle=False).estimates
    assert steps["success"].mean == 1.0
    assert "regret" not in steps


def test_commands_are_compared_with_the_solution():
    """In a game with one room the solution is to take the coin, command 4; looking (6) first costs a command."""

    def look_and_take(obs):
        looked = obs["token_mask"].any(dim=1)
        return torch.where(looked, 4, 6)

    found = evaluate(look_and_take, "Text/Coin-v0", split="all", level=1, pool=20).estimates
    assert found["success"].mean == 1.0
    assert found["exact_match"].mean == found["accuracy"].mean == 0.0
    assert (found["precision"].mean, found["recall"].mean, found["f1"].mean) == (0.5, 1.0, pytest.approx(2 / 3))


def test_a_lost_game_is_no_success():
    """Also with points: in Cooking, an ingredient well cut scores, and another one burnt loses."""
    game = {"preset": "gata-2", "pool": 100, "action": "admissible"}
    found = evaluate("random", "Text/Cooking-v0", oracle=False, split="all", resamples=10, **game)
    assert found.signals["lose"] > 0.1
    assert found.signals["score"] > 0.1
    assert found.estimates["success"].mean == found.signals["win"]


def test_transcripts_are_of_the_first_levels_in_order():
    found = evaluate(copier, "Tokens/Copy-v0", levels_at_once=5, transcripts=7, oracle=False, **COPY)
    batch = make_batch("Tokens/Copy-v0", 7, split="test", order="sweep", **COPY)
    prompts = batch.decode(batch.reset(seed=0))
    assert [transcript[: len(prompt)] for transcript, prompt in zip(found.transcripts, prompts, strict=True)] == prompts


def test_levels_without_a_solution_are_named():
    walled = {"start": (0.0, 0.0), "goal": (0.5, 0.5), "obstacles": [(0.3, 0.3, 0.8, 0.8)]}
    settings = {"split": "all", "levels": [{"start": (0, 0), "goal": (0.5, 0)}, walled], "max_steps": 3}
    stay = lambda obs: torch.zeros(len(obs["state"]), dtype=torch.long)  # noqa: E731
    with pytest.raises(ValueError, match=r"level 1 has no solution .* oracle=False"):
        evaluate(stay, "PathPlanner-v0", **settings)
    assert evaluate(stay, "PathPlanner-v0", oracle=False, **settings).episodes == 2


def test_perplexities_by_hand(models):
    """Step by step in one row, with the policies' own distributions: no sweep and no evaluate_actions."""
    acting, judge = (model.policy for model in models)
    found = evaluate(models[0], "Tokens/Copy-v0", reference=models[1], max_levels=6, **COPY)
    batch = make_batch("Tokens/Copy-v0", 1, split="test", order="sweep", **COPY)
    obs, sums = batch.reset(seed=0), {"written": [0.0, 0], "solution": [0.0, 0]}

    def log_prob(policy, action):
        with torch.no_grad():
            logits = policy.get_distribution(obs).distribution.logits
        return float(torch.log_softmax(logits.double(), dim=-1)[0, action])

    for kind in sums:
        obs = batch.reset(seed=0)
        for _ in range(6):
            plan, ended = iter(batch.world.solution(batch.row(0))), False
            while not ended:
                with torch.no_grad():
                    best = int(acting.get_distribution(obs).distribution.logits.argmax())
                action = best if kind == "written" else next(plan)
                sums[kind][0] -= log_prob(judge if kind == "written" else acting, action)
                sums[kind][1] += 1
                step = batch.step(torch.tensor([action]))
                obs, ended = step.obs, bool(step.terminated[0])
    assert found.estimates["perplexity"].mean == pytest.approx(np.exp(np.divide(*sums["written"])), rel=1e-5)
    assert found.estimates["solution_perplexity"].mean == pytest.approx(np.exp(np.divide(*sums["solution"])), rel=1e-5)


def test_several_seeds_are_the_single_ones_side_by_side(models):
    settings = {"deterministic": False, "max_levels": 20, "reference": models[1], **COPY}
    state = torch.get_rng_state()
    both = evaluate(models[0], "Tokens/Copy-v0", seeds=(3, 4), **settings)
    assert torch.equal(torch.get_rng_state(), state), "an evaluation draws nothing from its caller's generator"
    torch.rand(5)
    apart = [evaluate(models[0], "Tokens/Copy-v0", seed=seed, **settings) for seed in (3, 4)]
    assert both.episodes == 40
    assert both.mean_length == pytest.approx(np.mean([one.mean_length for one in apart]))
    for name, values in both.by_seed.items():
        assert values == pytest.approx([one.estimates[name].mean for one in apart]), name
    assert both.by_seed["perplexity"][0] != both.by_seed["perplexity"][1]
    again = evaluate(models[0], "Tokens/Copy-v0", seeds=(3, 4), **settings)
    assert again == both


def test_seeds_that_repeat_each_other_narrow_no_interval():
    """What several seeds do on one level is not independent: the levels are what is resampled."""
    one = evaluate(lambda obs: copier(obs, 1), "Tokens/Copy-v0", **COPY).estimates
    three = evaluate(lambda obs: copier(obs, 1), "Tokens/Copy-v0", seeds=(0, 1, 2), **COPY).estimates
    for name in set(one) - {"distinct_1", "distinct_2"}:
        assert three[name].low == pytest.approx(one[name].low)
        assert three[name].high == pytest.approx(one[name].high)


def test_the_world_is_built_once(monkeypatch):
    build, built = registration.find("Tokens/Copy-v0"), []

    def counting(length=4, vocab_size=3, pool=300):
        built.append(length)
        return build(length=length, vocab_size=vocab_size, pool=pool)

    monkeypatch.setitem(registration._builders, "Tokens/Copy-v0", counting)
    evaluate(copier, "Tokens/Copy-v0", seeds=(0, 1), **COPY)
    assert built == [4]


def test_a_policy_without_log_probabilities_is_evaluated_without_perplexity():
    env = TensorVecEnv("PathPlanner-v0", 2, pool=200, max_steps=9)
    model = DQN("MultiInputPolicy", env, buffer_size=10, policy_kwargs={"net_arch": [8]})
    found = evaluate(model, "PathPlanner-v0", pool=200, max_steps=9)
    assert found.mean_length <= 9
    with pytest.raises(ValueError, match="must be an SB3 model or policy"):
        evaluate(copier, "Tokens/Copy-v0", reference=copier, **COPY)


def test_bad_arguments_are_refused(models):
    for error, match, settings in (
        (ValueError, "seeds are", {"seeds": (1, 1)}),
        (ValueError, "seed is -1", {"seed": -1}),
        (ValueError, "k is 1", {"folds": 1}),
        (ValueError, "there is no signal 'won'", {"success": "won"}),
        (ValueError, "resamples is 0", {"resamples": 0}),
        (ValueError, "levels_at_once is 0", {"levels_at_once": 0}),
        (TypeError, "unexpected keyword argument 'sise'", {"sise": 3}),
        (ValueError, "the policy reads", {"vocab_size": 5}),
    ):
        with pytest.raises(error, match=match):
            evaluate(models[0], "Tokens/Copy-v0", **{**COPY, **settings})
    with pytest.raises(ValueError, match="policy is 'rando'; it must be"):
        evaluate("rando", "Tokens/Copy-v0", **COPY)
    with pytest.raises(ValueError, match="random actions cannot be typed as text"):
        evaluate("random", "Text/KeyQuest-v0", action="text", pool=10)
    with pytest.raises(ValueError, match="has no tokens"):
        evaluate("random", "PathPlanner-v0", pool=200, reference=models[0])


# ---------------------------------------------------------------------- JSON, tables, the command line


def test_json_gives_the_evaluation_back_and_older_ones_are_read():
    found = evaluate("random", "Tokens/Copy-v0", seeds=(0, 1), folds=2, **COPY)
    plain = json.loads(json.dumps(found.as_dict()))
    assert Evaluation(**plain) == found
    assert json.loads(json.dumps(plain)) == plain, "reading changes nothing"
    older = Evaluation(**{name: plain[name] for name in list(plain)[:6]})
    console = Console(record=True, width=120)
    report.show(console, "title", older, found)
    shown = console.export_text()
    e = found.estimates["signal/match"]
    assert f"{e.mean:.4f} [{e.low:.4f}, {e.high:.4f}]" in shown
    assert f" {older.signals['match']:.4f} " in shown


def test_the_command_line_evaluates_a_saved_model(models, tmp_path, capsys):
    for name, model in zip("ab", models, strict=True):
        model.save(tmp_path / f"{name}.zip")
    files = ["--model", str(tmp_path / "a.zip"), "--reference", str(tmp_path / "b.zip")]
    rest = ["--seeds", "3", "4", "--folds", "2", "--sampled", "--json", str(tmp_path / "out.json")]
    config = ["--set", *(f"{name}={value}" for name, value in COPY.items())]
    main(["Tokens/Copy-v0", *files, *rest, *config])
    options = {"reference": models[1], "seeds": (3, 4), "folds": 2, "deterministic": False, "transcripts": 3}
    expected = evaluate(models[0], "Tokens/Copy-v0", **options, **COPY)
    assert Evaluation(**json.loads((tmp_path / "out.json").read_text())) == expected
    shown = capsys.readouterr().out
    assert "perplexity" in shown
    assert "by fold" in shown


def test_a_file_without_a_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty\.zip holds no model"):
        load_policy(tmp_path / "empty.zip", "cpu")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["No/Such-v0", "--model", "random"], "there is no world 'No/Such-v0'"),
        (["Tokens/Copy-v0", "--model", "nope.zip"], "there is no saved model nope.zip\n"),
        (["Tokens/Copy-v0", "--model", "random", "--set", "colour=red"], "got an unexpected keyword argument 'colour'"),
        (["Tokens/Copy-v0", "--model", "random", "--set", "length=0"], "length is 0; it must be"),
        (["Tokens/Copy-v0", "--model", "random", "--seeds", "-1"], "seed is -1"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_code_2(args, reason, capsys):
    with pytest.raises(SystemExit) as refused:
        main(args)
    errors = capsys.readouterr().err
    assert (refused.value.code, errors.count("\n"), reason in errors) == (2, 1, True)
    assert errors.startswith("agents.evaluate: ")


def test_the_command_line_is_loaded_once():
    """Python warns where a module that is run has been imported before, as `agents` imports `agents.evaluate`."""
    strict = [sys.executable, "-W", "error::RuntimeWarning", "-m", "agents.evaluate", "--help"]
    assert "python -m agents.evaluate" in subprocess.run(strict, check=True, capture_output=True, text=True).stdout
