"""Schedules, the meter, checkpoints on disk, the run directory's log: each alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gancli import config as configuration
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.progan import ProGAN
from gancli.data.sampler import Portion
from gancli.errors import GancliError
from gancli.files import write_synced
from gancli.schema import ScheduleConfig, TrainConfig
from gancli.training import checkpoint
from gancli.training.length import estimated_length, finished_fraction, portions
from gancli.training.meter import Meter
from gancli.training.rundir import RunDirectory, check_name
from gancli.training.update import lr_factor


@pytest.mark.parametrize(
    ("schedule", "step", "fraction", "factor"),
    [
        (ScheduleConfig(), 900, 0.9, 1.0),
        (ScheduleConfig(kind="linear", start=0.5), 0, 0.5, 1.0),
        (ScheduleConfig(kind="linear", start=0.5), 0, 0.75, 0.5),
        (ScheduleConfig(kind="linear", start=0.5), 0, 1.0, 0.0),
        (ScheduleConfig(kind="linear", start=0.0, final=0.2), 0, 0.5, 0.6),
        (ScheduleConfig(kind="cosine"), 0, 0.0, 1.0),
        (ScheduleConfig(kind="cosine"), 0, 0.5, 0.5),
        (ScheduleConfig(kind="cosine", final=0.1), 0, 1.0, 0.1),
        (ScheduleConfig(kind="step", every=100, gamma=0.5), 99, 0.0, 1.0),
        (ScheduleConfig(kind="step", every=100, gamma=0.5), 250, 0.0, 0.25),
        (ScheduleConfig(kind="milestones", milestones=(0.5, 0.75), gamma=0.1), 0, 0.49, 1.0),
        (ScheduleConfig(kind="milestones", milestones=(0.5, 0.75), gamma=0.1), 0, 0.5, 0.1),
        (ScheduleConfig(kind="milestones", milestones=(0.5, 0.75), gamma=0.1), 0, 0.74, 0.1),
        (ScheduleConfig(kind="milestones", milestones=(0.5, 0.75), gamma=0.1), 0, 0.75, 0.01),
        (ScheduleConfig(kind="milestones", milestones=(0.75, 0.5), gamma=0.5), 900, 1.0, 0.25),
    ],
)
def test_schedules(schedule: ScheduleConfig, step: int, fraction: float, factor: float) -> None:
    assert lr_factor(schedule, step=step, fraction=fraction) == pytest.approx(factor)


def test_length_in_steps_epochs_and_kimg() -> None:
    model = DCGAN(DCGAN.Config(resolution=32, generator_width=1, discriminator_width=1))
    assert estimated_length(TrainConfig(steps=7), 1000, [Portion(0, 64)], model)[0] == 7
    assert estimated_length(TrainConfig(epochs=2), 1000, [Portion(0, 64)], model)[0] == 32  # 2000 / 64, rounded up
    assert estimated_length(TrainConfig(kimg=1), 5, [Portion(0, 100)], model)[0] == 10
    # Resumed with half of the batch after two steps of 300.
    assert estimated_length(TrainConfig(kimg=1), 5, [Portion(0, 150)], model, step=2, images_shown=600)[0] == 2 + 3
    grown = [Portion(0, 100, 2), Portion(700, 50)]
    assert estimated_length(TrainConfig(kimg=1), 5, grown, model, step=2, images_shown=600)[0] == 2 + 1 + 6
    assert estimated_length(TrainConfig(kimg=1), 5, grown, model, step=2, images_shown=900)[0] == 2 + 2


GROWING = ProGAN.Config(resolution=16, width=16, growth={"stable_kimg": 0.1, "fade_kimg": 0.05})


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 200))
def test_the_length_of_a_growing_run_is_what_playing_it_gives(first: int, second: int, third: int, steps: int) -> None:
    batches = {4: first, 8: second, 16: third}
    model = ProGAN(GROWING)
    train = TrainConfig(steps=steps, batch=batches)
    drawn = portions(model, train)
    assert drawn == [Portion(0, first, 4), Portion(101, second, 2), Portion(251, third, 1)]
    shown = 0
    for _ in range(steps):
        shown += batches[model.stage_at(shown).resolution]
    assert estimated_length(train, 1000, drawn, model)[1] == shown
    assert estimated_length(TrainConfig(kimg=shown / 1000, batch=batches), 1000, drawn, model)[0] == steps


def test_networks_that_do_not_grow_draw_one_portion() -> None:
    model = DCGAN(DCGAN.Config(resolution=32, generator_width=1, discriminator_width=1))
    assert portions(model, TrainConfig(steps=1, batch={4: 8, 32: 5, 64: 2})) == [Portion(0, 5, 1)]
    assert finished_fraction(TrainConfig(steps=10), 1000, step=5, images_shown=0) == 0.5
    assert finished_fraction(TrainConfig(epochs=2), 1000, step=5, images_shown=500) == 0.25
    assert finished_fraction(TrainConfig(kimg=1), 10, step=5, images_shown=2000) == 1


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_a_meter_that_went_through_json_goes_on_exactly(values: list[float]) -> None:
    whole, first = Meter(torch.device("cpu")), Meter(torch.device("cpu"))
    for value in values:
        whole.add({"D": torch.tensor(value)})
    for value in values[: len(values) // 2]:
        first.add({"D": torch.tensor(value)})
    second = Meter(torch.device("cpu"))
    second.load(json.loads(json.dumps(first.state())))
    for value in values[len(values) // 2 :]:
        second.add({"D": torch.tensor(value)})
    assert second.read() == whole.read()


def test_a_checkpoint_is_read_as_it_was_written_and_sha256sum_agrees(tmp_path: Path) -> None:
    path = tmp_path / "5"
    checkpoint.write(tmp_path, 5, {"a.bin": b"abc", "b.json": b"{}"}, keep=2)
    files = checkpoint.read(path)
    assert files == {"a.bin": b"abc", "b.json": b"{}"}
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=path, capture_output=True, check=False).returncode == 0


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100):  # numbers, not names: 9 is older than 10
        checkpoint.write(tmp_path, step, {"a": b"x"}, keep=2)
    assert checkpoint.steps(tmp_path) == [10, 100]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "100"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "missing", "no sums", "garbage sums"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "5"
    checkpoint.write(tmp_path, 5, {"a.bin": b"abcdef", "b.json": b"{}"}, keep=2)
    match damage:
        case "truncate":
            (path / "a.bin").write_bytes(b"abc")
        case "flip":
            (path / "a.bin").write_bytes(b"abcdeg")
        case "missing":
            (path / "b.json").unlink()
        case "no sums":
            (path / "SHA256SUMS").unlink()
        case "garbage sums":
            (path / "SHA256SUMS").write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(checkpoint.DamagedCheckpoint):
        checkpoint.read(path)


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 5, {"a": b"x"}, keep=2)
    (tmp_path / ".6.writing").mkdir()
    (tmp_path / ".4.removing").mkdir()
    (tmp_path / "mine").mkdir()
    checkpoint.clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "mine"]


def test_the_log_is_cut_to_the_checkpoint(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (50, 100, 150):
        run.append_log({"step": step})
    with run.log.open("a") as file:
        file.write('{"step": 20')  # a process was killed here
    run.cut_log(100)
    assert [json.loads(line)["step"] for line in run.log.read_text().splitlines()] == [50, 100]


def test_a_run_directory_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    config = configuration.resolve("dcgan-shapes")
    run = RunDirectory.create(tmp_path / "runs" / "a", config)
    assert configuration.resolve(config_file=run.config) == config
    with pytest.raises(GancliError, match="already exists") as caught:
        RunDirectory.create(tmp_path / "runs" / "a", config)
    assert "gancli resume" in caught.value.hint
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GancliError):
        RunDirectory.create(tmp_path / "file", config)
    with pytest.raises(GancliError, match="cannot make"):
        RunDirectory.create(tmp_path / "file" / "below", config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "runs"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_is_locked_against_a_second_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gancli.errors import GancliError\n"
        "from gancli.training.rundir import RunDirectory\n"
        "try: RunDirectory(Path(sys.argv[1])).lock()\n"
        "except GancliError as error: print(error.message)"
    )
    second = [sys.executable, "-c", script, str(tmp_path)]
    run = RunDirectory(tmp_path)
    run.lock()
    refused = subprocess.run(second, capture_output=True, text=True, check=True).stdout
    assert f"is being trained by process {os.getpid()}" in refused
    # A child that is forked while the lock is held, as loader processes are, must not keep it.
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    run.unlock()
    assert subprocess.run(second, capture_output=True, text=True, check=True).stdout == ""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-n", "a b"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(GancliError):
        check_name(name)


def test_names_that_are_names() -> None:
    for name in ("a", "horse2zebra", "dcgan-shapes-2", "v1.0_x+y", "köpfe"):
        assert check_name(name) == name


def test_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_synced(Path("/dev/full"), b"content")
    assert caught.value.filename == "/dev/full"
