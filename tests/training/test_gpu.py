"""What only a CUDA device can show; run with ``pytest -m gpu``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gancli import config as configuration
from gancli.cli.app import run
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.modelfile import load_tensors, read_info
from gancli.registry import load_architecture
from gancli.training.length import portions
from gancli.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_never_waits_for_the_device(precision: str) -> None:
    config = configuration.resolve("dcgan-cifar10", sets=[f"train.precision={precision}", "train.average={decay: 0.9}"])
    architecture = load_architecture("dcgan")(config.model, config.train.aids)
    inputs = architecture.inputs(config.model)
    device = torch.device("cuda")
    pipeline = Pipeline(
        open_source("shapes"), inputs, config.data, portions=portions(architecture, config.train), seed=0, workers=2
    )
    trainer = Trainer(architecture, config, pipeline, device)
    batches = pipeline.batches(0, device)
    trainer.play_round(batches)  # the first step makes the optimizers' state
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            trainer.play_round(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        batches.close()


@pytest.mark.parametrize("options", [[], ["--precision", "bf16"], ["--precision", "fp16"], ["--compile"]])
def test_trains_resumes_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--data", "shapes", "--name", "r", "--device", "cuda", *options]
    assert run(["train", "dcgan-cifar10", *common, "--steps", "20"]) == 0
    assert run(["resume", "r", "--steps", "30"]) == 0
    assert read_info(tmp_path / "runs/r/model.safetensors").step == 30
    assert all(value.isfinite().all() for value in load_tensors(tmp_path / "runs/r/model.safetensors").values())
    assert run(["sample", "r", "-n", "3", "-o", "cuda.npy", "--device", "cuda"]) == 0
    assert run(["sample", "r", "-n", "3", "-o", "cpu.npy", "--device", "cpu"]) == 0
    assert abs(np.load("cuda.npy") - np.load("cpu.npy")).max() < 0.02
