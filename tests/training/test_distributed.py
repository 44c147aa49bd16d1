"""Two processes that train one model: every buffer is averaged over them, except those of private submodules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
