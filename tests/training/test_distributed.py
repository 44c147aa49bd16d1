"""Two processes that train one model: every buffer is averaged over them, except those of private submodules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
import torch
from torch import nn
from gancli.schema import RunConfig, TrainConfig
from gancli.training import distributed
from gancli.training.plan import random_batch
from gancli.training.trainer import Trainer
from toys import Spectral

class Pool(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("held", torch.zeros(()))

class WithState(Spectral):
    private = ("pool",)

    def __init__(self, config, aids=None):
        super().__init__(config, aids)
        self.pool = Pool()
        self.register_buffer("p", torch.zeros(()))  # as ADA's, which follows what D says

    def training_step(self, data, update):
        super().training_step(data, update)
        self.p += distributed.rank() + 1
        self.pool.held += distributed.rank() + 1

class Data:
    length, classes, domains = 100, ("a", "b", "c"), ("image",)

device = torch.device("cpu")
distributed.start(device)
torch.manual_seed(0)
model = WithState(WithState.Config(classes=3))
config = RunConfig(architecture="toy", model=model.config, train=TrainConfig(steps=4, batch=4))
trainer = Trainer(model, config, Data, device)
for step in range(2):
    torch.manual_seed(100 * step + distributed.rank())  # each process sees other data
    trainer.play_round(iter([random_batch(model.inputs(model.config), 2)]))
flat = torch.cat([tensor.flatten() for name, tensor in model.state_dict().items() if not name.startswith("pool")])
found = (float(model.p), float(model.pool.held), flat, trainer.progress.images_shown)
torch.save(found, sys.argv[1] + str(distributed.rank()))
distributed.stop()
"""


def two(script: str, folder: Path) -> list[subprocess.Popen[str]]:
    """Starts two processes that run a script."""
    environment = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(20_000 + (os.getpid() * 7 + len(script)) % 20_000),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        for rank in range(2)
    ]


TRAIN = """
import os, sys
from gancli.cli.app import run
from gancli.training import meter
read, rank = meter.Meter.read, sys.argv[1]
def recorded(self):
    if not os.environ.get("DYING"):
        print("read", read(self)["D"], flush=True)
    return read(self)
meter.Meter.read = recorded
add, steps = meter.Meter.add, []
def dying(self, values):
    if os.environ.get("DYING") == rank and len(steps) == 20:
        os.kill(os.getpid(), 9)
    if "D" in values:
        steps.append(values["D"].item())
    add(self, values)
meter.Meter.add = dying
words = ["train", "dcgan-shapes", "--data", "shapes", "--steps", "24", "--device", "cpu", "--batch", "8", "--name", "r"]
for key in ("model.generator_width=4", "model.discriminator_width=4", "train.samples=4", "train.log_every=24"):
    words += ["--set", key]
code = run(words)
print("mean", sum(steps) / len(steps))
sys.exit(code)
"""


@pytest.mark.slow
def test_losses_are_the_means_over_all_processes(tmp_path: Path) -> None:
    said = [process.communicate(timeout=300) for process in two(TRAIN, tmp_path)]
    means = [float(out.splitlines()[-1].split()[1]) for out, _ in said]
    read = [float(out.split("read ")[1].split()[0]) for out, _ in said]
    assert means[0] != means[1]
    assert read[0] == read[1]
    assert abs(read[0] - sum(means) / 2) < 1e-5
    (line,) = (tmp_path / "runs/r/log.jsonl").read_text().splitlines()
    assert json.loads(line)["D"] == read[0]


@pytest.mark.slow
def test_the_survivor_of_a_killed_process_says_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dying in ("0", "1"):
        monkeypatch.setenv("DYING", dying)
        (tmp_path / dying).mkdir()
        processes = two(TRAIN, tmp_path / dying)
        said = [process.communicate(timeout=300)[1] for process in processes]
        survivor = 1 - int(dying)
        assert processes[survivor].returncode == 1, said
        assert f"error: process {survivor} of 2 has lost another one" in said[survivor]


def test_buffers_are_averaged_unless_they_are_private(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(20_000 + os.getpid() % 20_000),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "rank")],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    (p0, held0, flat0, shown0), (p1, held1, flat1, shown1) = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    # 1.5 after the first step, on top of which come 1 and 2.
    assert p0 == p1 == 3
    assert (held0, held1) == (2, 4)
    assert torch.equal(flat0, flat1)
    assert shown0 == shown1 == 8
