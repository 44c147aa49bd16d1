"""gancli train: run directories, dry runs, weights to begin with, and every way to type it wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import SMALL

from gancli import config as configuration
from gancli.cli.app import run
from gancli.data.sampler import Portion
from gancli.modelfile import load_tensors, read_info


def train(*arguments: str) -> int:
    return run(["train", "dcgan-shapes", *SMALL, *arguments])


def test_a_run_directory_holds_what_it_should(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        train(
            "--data",
            str(photos),
            "--steps",
            "6",
            "--set",
            "train.sample_every=3",
            "--tensorboard",
            "--set",
            "train.log_every=3",
        )
        == 0
    )
    out, err = capfd.readouterr()
    assert out == "runs/dcgan-shapes\n"
    assert "step 6/6" in err.replace("  ", " ")
    root = here / "runs/dcgan-shapes"
    assert sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) == [
        *("checkpoints", "config.yaml", "log.jsonl", "model.safetensors", "samples", "tensorboard")
    ]
    assert sorted(p.name for p in (root / "samples").iterdir()) == ["00000003.png", "00000006.png"]
    assert Image.open(root / "samples/00000006.png").size == (2 * 32 + 2, 2 * 32 + 2)
    records = [json.loads(line) for line in (root / "log.jsonl").read_text().splitlines()]
    assert [(r["step"], r["images"], r["epoch"]) for r in records] == [(3, 24, 1.0), (6, 48, 2.0)]
    assert {"D", "G", "D(x)", "D(G(z))", "lr_D", "lr_G", "images_per_s", "eta_s", "memory_mib"} <= records[0].keys()
    info = read_info(root / "model.safetensors")
    assert (info.step, info.images_shown, info.networks) == (6, 48, ["generator", "discriminator"])
    assert info.training == {key: records[-1][key] for key in ("D", "G", "D(x)", "D(G(z))")}
    assert any((root / "tensorboard").iterdir())
    assert configuration.resolve(config_file=root / "config.yaml").data.source == str(photos)


def test_a_model_file_knows_the_classes_it_was_trained_on(here: Path) -> None:
    assert train("--data", "shapes:classes", "--steps", "1", "--name", "classes") == 0
    assert read_info(here / "runs/classes/model.safetensors").classes[:3] == ["circle", "square", "triangle"]


def test_names_count_up_and_are_never_overwritten(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = ("--data", str(photos), "--steps", "1")
    assert train(*short) == train(*short) == 0
    assert capfd.readouterr().out == "runs/dcgan-shapes\nruns/dcgan-shapes-2\n"
    before = (here / "runs/dcgan-shapes/model.safetensors").read_bytes()
    assert train(*short, "--name", "dcgan-shapes") == 2
    assert "already exists" in capfd.readouterr().err
    assert (here / "runs/dcgan-shapes/model.safetensors").read_bytes() == before


def test_the_config_of_a_run_replays_it(here: Path, photos: Path) -> None:
    assert train("--data", str(photos), "--steps", "3", "--name", "one", "--seed", "5") == 0
    assert run(["train", "--config", "runs/one/config.yaml", "--name", "two"]) == 0
    assert run(["train", "--config", "runs/one/config.yaml", "--name", "three", "--seed", "6"]) == 0
    one, two, three = ((here / f"runs/{name}/model.safetensors").read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_epochs_and_kimg(here: Path, photos: Path) -> None:
    assert train("--data", str(photos), "--epochs", "1.5", "--name", "epochs") == 0
    assert train("--data", str(photos), "--kimg", "0.03", "--name", "kimg") == 0
    assert read_info(here / "runs/epochs/model.safetensors").step == 5  # 36 images in batches of 8
    assert read_info(here / "runs/kimg/model.safetensors").step == 4


def test_init_from_begins_with_the_weights_of_a_model(
    here: Path, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frozen = [f"model.optimizers.{player}.lr=1e-30" for player in "DG"]
    still = ["--steps", "1", "--set", frozen[0], "--set", frozen[1], "--set", "train.average=null"]
    assert train("--data", str(photos), *still, "--init-from", str(model), "--name", "warm") == 0
    warm, given = load_tensors(here / "runs/warm/model.safetensors"), load_tensors(model)
    assert all(warm[key].equal(given[key]) for key in given if key.endswith("0.weight"))
    capfd.readouterr()
    assert (
        train(
            "--data",
            str(photos),
            "--steps",
            "1",
            "--set",
            "model.generator_width=5",
            "--init-from",
            str(model),
            "--name",
            "no",
        )
        == 2
    )
    err = capfd.readouterr().err
    assert "do not fit" in err
    assert "generator.layers.0.weight" in err
    assert not (here / "runs/no").exists()


SMALL_PROGAN = ["train", "progan-shapes", "--set", "model.width=16", "--set", "model.max_width=4"]


def test_init_from_a_smaller_model_says_which_weights_are_fresh(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = [*SMALL_PROGAN, "--data", str(photos), "--steps", "1", "--set", "train.average=null"]
    small += ["--set", "model.optimizers.G.lr=1e-30"]
    assert run([*small, "--resolution", "8", "--name", "small"]) == 0
    capfd.readouterr()
    assert run([*small, "--resolution", "16", "--init-from", "small", "--name", "large"]) == 0
    err = capfd.readouterr().err
    assert "lacks" in err
    assert "such as generator.blocks.2.up.weight: starting them with fresh weights" in err
    warm, given = (load_tensors(here / f"runs/{name}/model.safetensors") for name in ("large", "small"))
    assert all(warm[key].allclose(given[key], atol=1e-20) for key in given if key.startswith("generator."))
    assert run(["models"]) == 0
    assert "4 of 16 px, RGB" in capfd.readouterr().out


def test_a_dry_run_names_the_batches_that_occur(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--dry-run", "--set", "train.batch={4: 8, 8: 16, 32: 4}"]
    assert run([*SMALL_PROGAN, *words, "--steps", "1"]) == 0
    assert "1 step, batch size 8," in capfd.readouterr().out
    assert run([*SMALL_PROGAN, *words, "--kimg", "7"]) == 0
    assert "batch size 8 to 16," in capfd.readouterr().out


def test_a_dry_run_says_everything_and_writes_nothing(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "dcgan", "--data", "shapes", "--dry-run", "--batch", "16", "--epochs", "2"]) == 0
    out = capfd.readouterr().out
    for said in (
        "3,576,704",
        "2,765,568",
        "6,342,272",
        "20,160 images",
        "2,520 steps, batch size 16, 2 epochs",
        "at least 236 MiB in RAM",
    ):
        assert said in out
    resolved = configuration.resolve(None, config_file=_written(here / "c.yaml", out.split("\nnetwork")[0]))
    assert (resolved.train.batch, resolved.train.epochs, resolved.train.steps) == (16, 2, None)
    assert [p.name for p in here.iterdir()] == ["c.yaml"]


def test_a_dry_run_under_torchrun_needs_no_other_process(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "dcgan", "--data", "shapes", "--dry-run", "--steps", "1"]
    assert run([*words, "--batch", "8"]) == 0
    alone = capfd.readouterr().out.split("activations")[0].split()[-1]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert run([*words, "--batch", "16"]) == 0
    assert capfd.readouterr().out.split("activations")[0].split()[-1] == alone
    assert run([*words, "--batch", "15"]) == 2
    assert "cannot be shared by 2 processes" in capfd.readouterr().err


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_expected_memory_grows_as_it_should() -> None:
    from gancli.architectures.dcgan import DCGAN
    from gancli.training.plan import expected_memory

    def memory(*sets: str):  # type: ignore[no-untyped-def]
        config = configuration.resolve("dcgan", sets=sets)
        return expected_memory(DCGAN(config.model), config, Portion(0, config.train.batch))  # type: ignore[arg-type]

    base = memory("train.batch=8")
    numbers = 6_342_272  # parameters of both networks
    assert base.gradients == 4 * numbers
    assert 0 < base.optimizers - 8 * numbers < 200  # two moments of each number, and a count for each tensor
    assert base.averages == 0
    assert memory("train.batch=16").activations == pytest.approx(2 * base.activations, rel=0.02)
    assert memory("train.precision=bf16").activations < 0.7 * memory().activations
    assert memory("train.batch=8", "train.average={decay: 0.9}").averages > 4 * 3_576_704
    assert memory("train.batch=8", "train.accumulate=2").activations < base.activations


def test_a_step_that_looks_at_numbers_leaves_only_the_activations_unknown() -> None:
    from gancli.architectures.dcgan import DCGAN
    from gancli.training.plan import expected_memory

    class Looking(DCGAN):
        def training_step(self, batches, update):  # type: ignore[no-untyped-def]
            if next(batches).image.mean().item() < 2:
                super().training_step(batches, update)

    config = configuration.resolve("dcgan", sets=["train.batch=8"])
    known, unknown = (expected_memory(kind(config.model), config, Portion(0, 8)) for kind in (DCGAN, Looking))
    assert unknown.activations is None
    assert unknown.total == known.total - known.activations


def test_resume_takes_what_depends_on_the_machine(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--data", str(photos), "--steps", "1", "--name", "my.run", "--device", "cpu") == 0
    path = here / "runs/my.run/config.yaml"
    path.write_text(path.read_text().replace("device: cpu", "device: cuda:99"))
    assert run(["resume", "my.run", "--steps", "2"]) == 2
    capfd.readouterr()
    machine = ["--device", "cpu", "--workers", "1", "--precision", "bf16", "--keep", "5"]
    assert run(["resume", "my.run", "--steps", "2", *machine]) == 0
    now = configuration.resolve(config_file=path).train
    assert (now.steps, now.device, now.workers, now.precision, now.keep) == (2, "cpu", 1, "bf16", 5)


def test_the_way_to_go_on_with_a_run_can_be_typed(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "my run").mkdir()
    (here / "my run/config.yaml").write_text("")
    assert train("--data", "shapes", "--out", "my run") == 2
    assert "`gancli resume 'my run'`" in capfd.readouterr().err


def test_bad_images_are_named_and_left_out_or_stop(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = here / "mixed"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "text.png").write_text("this is no picture")
    (folder / "cut.png").write_bytes((photos / "0.png").read_bytes()[:60])
    assert train("--data", "mixed", "--steps", "1") == 0
    err = capfd.readouterr().err
    assert "text.png" in err
    assert "cut.png" in err
    assert "2" in err
    assert train("--data", "mixed", "--steps", "1", "--name", "strict", "--on-bad-image", "error") == 2
    assert ".png" in capfd.readouterr().err
    assert not (here / "runs/strict").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "dcgan-shape", "--data", "shapes"], "did you mean 'dcgan-shapes'?"),
        (["train", "--data", "shapes"], "gancli presets"),
        (["train", "dcgan", "--steps", "1"], "--data shapes"),
        (["train", "dcgan", "--data", "no/where"], "'no/where' does not exist"),
        (["train", "dcgan", "--data", "empty"], "empty"),
        (["train", "dcgan", "--data", "a.txt"], "a.txt"),
        (["train", "dcgan", "--data", "shapes:pairs"], "it needs one domain"),
        (["train", "dcgan", "--data", "shapes", "--batch", "0"], "--batch 0: must be at least 1"),
        (["train", "dcgan", "--data", "shapes", "--resolution", "48"], "power of two"),
        (
            ["train", "dcgan", "--data", "shapes", "--device", "cuda:99"],
            "CUDA" if not torch.cuda.is_available() else "cuda:99",
        ),
        (["train", "dcgan", "--data", "shapes", "--device", "tpu"], "--device tpu"),
        (["train", "dcgan", "--data", "shapes", "--precision", "fp8"], "fp8"),
        (["train", "dcgan", "--data", "shapes", "--name", "a/b"], "cannot be the name"),
        (["train", "dcgan", "--data", "shapes", "--name", "a", "--out", "b"], "--name and --out"),
        (["train", "dcgan", "--data", "shapes", "--set", "train.turns.X.every=2"], "X"),
        (["train", "dcgan", "--data", "shapes", "--init-from", "nothing"], "'nothing'"),
        (["train", "dcgan", "--data", "shapes", "--out", "a.txt"], "a.txt already exists"),
        (["train", "dcgan", "--data", "shapes", "--steps", "1", "--epochs", "2"], "here is steps and epochs"),
        (["train", "dcgan", "--data", "shapes", "--stepz", "1"], "--stepz"),
        (["resume", "nothing"], "'nothing'"),
        (["resume", "x" * 300], "File name too long"),
        (["train", "dcgan", "--data", "x" * 300], "File name too long"),
        (["train", "dcgan", "--data", "shapes", "--name", "x" * 300], "cannot be the name"),
        (["resume", "empty"], "not a run directory"),
    ],
)
def test_wrong_input_is_two_lines_and_leaves_nothing(
    here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    (here / "a.txt").write_text("mine")
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err
    assert sorted(p.name for p in here.iterdir()) == ["a.txt", "empty"]
    assert (here / "a.txt").read_text() == "mine"


def test_resume_refuses_another_model_and_changes_nothing(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("--data", str(photos), "--steps", "2", "--name", "run") == 0
    config = (here / "runs/run/config.yaml").read_bytes()
    assert run(["resume", "run", "--set", "model.generator_width=8"]) == 2
    assert "does not fit" in capfd.readouterr().err
    assert (here / "runs/run/config.yaml").read_bytes() == config
    assert run(["resume", "run", "--steps", "3", "--set", "train.log_every=1"]) == 0
    assert configuration.resolve(config_file=here / "runs/run/config.yaml").train.steps == 3
    assert [json.loads(line)["step"] for line in (here / "runs/run/log.jsonl").read_text().splitlines()] == [2, 3]


@pytest.mark.slow
def test_compiled_networks_learn_the_same(here: Path, photos: Path) -> None:
    for name, flag in (("eager", "--no-compile"), ("compiled", "--compile")):
        assert train("--data", str(photos), "--steps", "3", "--name", name, flag) == 0
    eager, compiled = (load_tensors(here / f"runs/{name}/model.safetensors") for name in ("eager", "compiled"))
    for key, value in eager.items():
        np.testing.assert_allclose(value, compiled[key], rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_two_processes_stay_one_model_and_see_all_of_the_data(here: Path, photos: Path) -> None:
    """torchrun with two ranks: batch norm sees half batches, all else is the mathematics of one process."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gancli"),
        *("train", "dcgan-shapes", "--data", str(photos), "--steps", "4", *SMALL, "--device", "cpu"),
        *("--set", "train.aids.instance_noise=0", "--name"),  # it falls over the length of the run, which changes below
    ]
    done = subprocess.run([*command, "two"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs/two\n"
    info = read_info(here / "runs/two/model.safetensors")
    assert (info.step, info.images_shown) == (4, 32)
    # Resumed with the same ranks, it goes on exactly.
    assert (
        subprocess.run([*command, "cut", "--steps", "2"], capture_output=True, timeout=300, check=False).returncode == 0
    )
    resume = [*command[:8], "resume", "cut", "--steps", "4"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    two, cut = (load_tensors(here / f"runs/{name}/model.safetensors") for name in ("two", "cut"))
    assert all(two[key].equal(cut[key]) for key in two)
