"""What a run does with a folder: it removes no file but its own, and resumes from what is whole."""

import shutil

import pytest
from training import PPO_QUICK

from agents.jobs import checkpoints
from agents.jobs.job import train
from agents.jobs.settings import parse
from agents.train import main

RUN = ["Tokens/Addition-v0", *PPO_QUICK, "--steps", "256"]


def files(folder):
    return {str(place.relative_to(folder)): place.read_bytes() for place in folder.rglob("*") if place.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(parse([*RUN, "--out", str(out)]))
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def refused(arguments, capsys):
    """Return what `agents.train` says before it exits with 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    for name in ("checkpoint-thesis/notes.txt", "tensorboard/run1", "model.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = files(tmp_path)
    assert "is not empty and holds no run of agents.train" in refused([*RUN, "--out", str(tmp_path)], capsys)
    assert files(tmp_path) == before


def test_a_new_run_replaces_an_earlier_one_and_nothing_else(run):
    for name in ("checkpoint-thesis/notes.txt", "checkpoint-1/a", "tensorboard/mine.txt", ".writing-x/a", "notes.txt"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    (run / ".writing-123").mkdir()  # of a run that was killed
    train(parse([*RUN, "--seed", "1", "--out", str(run)]))
    assert sum(content == b"mine" for content in files(run).values()) == 5
    assert not (run / ".writing-123").exists()


OUT_OF_RANGE = "steps=-5 steps=0 num-envs=0 n-steps=0 batch-size=0 n-epochs=0 threads=-1 validate-every=0 seed=-1"


@pytest.mark.parametrize("option", [*OUT_OF_RANGE.split(), "checkpoint-every=-1"])
def test_numbers_out_of_range_are_refused_at_the_start(tmp_path, capsys, option):
    said = refused([*RUN, "--out", str(tmp_path / "run"), f"--{option}"], capsys)
    assert option.split("=")[0].replace("-", "_") in said.replace("-", "_")
    assert not (tmp_path / "run").exists()


def test_nothing_is_resumed_where_there_is_no_run(tmp_path, capsys):
    """As with a mistyped name."""
    assert "there is no run to resume" in refused(["--resume", "--out", str(tmp_path / "runn")], capsys)
    assert not (tmp_path / "runn").exists()


def test_a_finished_model_is_kept_where_the_checkpoints_are_gone(run, capsys):
    for place in checkpoints.checkpoints(run):
        shutil.rmtree(place)
    before = files(run)
    assert "there is no checkpoint" in refused(["--resume", "--out", str(run)], capsys)
    assert files(run) == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(run):
    for place in (*checkpoints.checkpoints(run), run / "model.zip"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    train(parse(["--resume", "--out", str(run)]))
    assert (run / "model.zip").exists()


@pytest.mark.parametrize("name", ["model.zip", "torch.pt", "numpy.npz", "history.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "changed"])
def test_a_damaged_checkpoint_is_passed_over(finished, tmp_path, name, damage):
    first, second = tmp_path / "checkpoint-000000000001", tmp_path / "checkpoint-000000000002"
    for place in (first, second):
        shutil.copytree(checkpoints.checkpoints(finished)[0], place)
    content = (second / name).read_bytes()
    half = len(content) // 2
    if damage == "missing":
        (second / name).unlink()
    else:
        changed = content[:half] + b"\xff\x00{{" + content[half + 4 :]
        (second / name).write_bytes({"empty": b"", "cut": content[:half], "changed": changed}[damage])
    with pytest.warns(UserWarning, match="checkpoint-000000000002 is damaged"):
        assert checkpoints.newest(tmp_path) == first
    (first / name).unlink()
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(ValueError, match=r"all checkpoints in .* damaged"):
        checkpoints.newest(tmp_path)
