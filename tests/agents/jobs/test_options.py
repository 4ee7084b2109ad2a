"""The options of a training run: presets, files, the command line, and what is refused."""

import numpy as np
import pytest
from training import PPO_QUICK, QUICK
from worlds import DISTINCT

from agents import ALGORITHMS
from agents.jobs import settings
from agents.jobs.job import make_env, make_model
from agents.jobs.settings import parse
from llm_envs import ids
from llm_envs.cli.arguments import parse_values

SMALL_WORLDS = {  # configurations that are made in a moment
    "Nav/FourRooms-v0": {"pool": 64},
    "Nav/PathPlanner-v0": {"pool": 64},
    "Text/Coin-v0": {"pool": 64},
    "Tokens/Copy-v0": {"pool": 64},
}
ALIASES = {"PathPlanner-v0": "Nav/PathPlanner-v0", "TextGame-v0": "Text/Coin-v0"}


def parsed(*more):
    return parse(["Tokens/Addition-v0", *PPO_QUICK, *more])


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("world", [w for w in DISTINCT if w not in ALIASES])
def test_every_world_has_a_preset_with_which_every_algorithm_starts(world, algo):
    assert algo in settings.preset(world)["algorithms"]
    for alias in (alias for alias, name in ALIASES.items() if name == world):
        assert settings.preset(alias) == settings.preset(world)
    chosen = parse([world, "--algo", algo, "--num-envs", "16", "--device", "cpu"])
    config = SMALL_WORLDS.get(world, {})
    model = make_model(chosen, make_env(chosen, config, "cpu"), "cpu")
    assert type(model) is ALGORITHMS[algo]


def test_every_world_has_a_preset():
    """Generated families of text games share that of Text/World-v0, whose start is tested above."""
    for world in ids():
        assert settings.preset(world)["algorithms"].keys() == ALGORITHMS.keys()


def test_command_line_over_file_over_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("num_envs: 24\nsteps: 7\nset: {digits: 2}\nalgorithms: {ppo: {n_epochs: 5, clip_range: 0.3}}\n")
    found = parse(
        ["Tokens/Addition-v0", "--config", str(file), "--steps", "9", "--set", "mixed=True", "--n-epochs", "6"]
    )
    assert (found.steps, found.num_envs, found.algorithm.n_epochs, found.algorithm.clip_range) == (9, 24, 6, "0.3")
    assert found.set == (("digits=2", "mixed=True"),)
    assert found.algorithm.n_steps == 20  # the preset's
    assert found.network.positions == "learned"


def test_a_repeated_flag_adds_to_the_first():
    found = parse(["Text/Collector-v0", "--set", "level=2", "pool=9", "--set", "mode=1", "level=3"])
    assert parse_values(*found.set) == {"level": 3, "pool": 9, "mode": 1}


def test_the_first_job_is_as_it_was():
    """`make train`: the settings with which three digits go from 0.52 to about 0.97."""
    found = parse([])
    assert (found.world, found.algo, found.steps, found.num_envs) == ("Tokens/Addition-v0", "ppo", 1_000_000, 512)
    ppo = found.algorithm
    assert (ppo.n_steps, ppo.batch_size, ppo.n_epochs, ppo.gamma, ppo.gae_lambda) == (20, 5120, 3, 1.0, 1.0)
    rate = ppo.arguments()["learning_rate"]
    np.testing.assert_allclose([rate(1.0), rate(0.25), rate(0.0)], [1e-3, 2.5e-4, 0.0], rtol=1e-12)
    assert ppo.arguments()["kl"] is None
    assert (found.warm.episodes, found.warm.epochs, found.warm.stop_at) == (40_000, 6, 0.45)


def test_options_reach_the_algorithm_and_the_policy():
    args = "--algo a2c --kl.coefficient 0.1 --kl.estimator k2 --replay.batches 2 --replay.capacity 320 --gamma 0.9"
    args += " --sampling.top-k 3 --low-rank 2 --weight-decay 0.1 --max-tokens-per-pass 99 --vf-coef 0.2 --n-steps 4"
    chosen = parse(["Tokens/Addition-v0", *QUICK, *args.split(), "--frozen", "trunk.norm", "value_net"])
    model = make_model(chosen, make_env(chosen, {"digits": 1}, "cpu"), "cpu")
    assert (model.kl.coefficient, model.kl.estimator, model.gamma, model.vf_coef, model.n_steps) == (
        0.1,
        "k2",
        0.9,
        0.2,
        4,
    )
    assert (model.replay.batches, model.replay.capacity) == (2, 320)
    assert (model.policy.sampling.top_k, model.policy.max_tokens_per_pass) == (3, 99)
    assert not any(p.requires_grad for p in model.policy.value_net.parameters())
    assert {group["weight_decay"] for group in model.policy.optimizer.param_groups} == {0.1, 0.0}


@pytest.mark.parametrize(
    "args",
    [
        "--algo reinforce --clip-range 0.1",
        "--algo trpo --ent-coef 0.1",
        "--algo ppo --group-size 8",
        "--algo rloo --baseline none",
        "--algo ppo --replay.batches 1",
        "--backbone gru --backbone.heads 4",
        "--batch-size many",
    ],
)
def test_what_the_chosen_ones_do_not_have_is_refused(args, capsys):
    with pytest.raises(SystemExit) as refused:
        parse(["Tokens/Addition-v0", *args.split()])
    assert refused.value.code == 2
    flag = args.split()[-2]
    assert flag in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--algo sarsa", "algo is 'sarsa'"),
        ("--backbone lstm", "backbone is 'lstm'"),
        ("--kl.target 0.1", "kl.coefficient is 0"),
        ("--algo a2c --replay.capacity 100", "replay.batches is 0"),
        ("--learning-rate linear", "no schedule"),
        ("--clip-range linear:x", "is not a number"),
    ],
)
def test_options_that_make_no_sense_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        parse(["Tokens/Addition-v0", *args.split()])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1", "must map"), ("algorithms: {sarsa: {}}", "sarsa"), ("backbones: {lstm: {}}", "lstm")],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse(["--config", str(tmp_path / "bad.yaml")])


def test_an_unknown_name_in_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("algorithms: {ppo: {n_step: 3}}")
    with pytest.raises(SystemExit):
        parse(["--config", str(tmp_path / "bad.yaml")])
    assert "--n-step" in capsys.readouterr().err


def test_saved_options_are_what_a_run_goes_on_with(tmp_path):
    first = parsed("--out", str(tmp_path), "--n-epochs", "2", "--weights", "match=0.5", "--frozen", "value_net")
    settings.save(first, tmp_path)
    again = parse(["--resume", "--out", str(tmp_path)])
    assert settings.as_settings(again) == settings.as_settings(first)
    repeated = parse(["--config", str(tmp_path / settings.SAVED)])
    assert settings.as_settings(repeated) == settings.as_settings(first)
    longer = parse(["--resume", "--out", str(tmp_path), "--steps", "9", "--threads", "2"])
    assert (longer.steps, longer.threads, longer.algorithm.n_epochs) == (9, 2, 2)
    for other in (["--n-epochs", "3"], ["--seed", "1"], ["--algo", "a2c"], ["--set", "digits=2"], ["--num-envs=8"]):
        with pytest.raises(ValueError, match="these differ"):
            parse(["--resume", "--out", str(tmp_path), *other])
    with pytest.raises(ValueError, match=r"world Tokens/Addition-v0 -> Tokens/Copy-v0"):
        parse(["Tokens/Copy-v0", "--resume", "--out", str(tmp_path)])


def test_sub_sampling_is_refused_where_there_is_no_text():
    chosen = parse(["PathPlanner-v0", "--algo", "trpo", "--sub-sampling-factor", "2", "--num-envs", "2"])
    with pytest.raises(ValueError, match="needs a world with tokens"):
        make_model(chosen, make_env(chosen, {"pool": 64}, "cpu"), "cpu")
