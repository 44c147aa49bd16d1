"""A run that is killed goes on as if nothing had happened: same bytes in the model file, same numbers in the log.

What is killed, sent a signal or locked out is a process of its own; what only has to finish runs in this one, where
torch is imported already.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import folder

from gancli.cli.app import run
from gancli.data.opening import open_source
from gancli.modelfile import load_tensors, read_info

STEPS = 12
IMAGES = 45  # an epoch ends within a batch
TINY = [
    *("--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "model.latent_dim=8"),
    *("--set", "train.log_every=5", "--set", "train.checkpoint_every=4", "--set", "train.sample_every=6"),
    *("--set", "train.samples=4", "--batch", "8"),
]
CLOCK = ("images_per_s", "eta_s", "memory_mib")

VARIANTS: dict[str, list[str]] = {
    "fp32": ["--set", "train.average=null"],
    "2 workers": ["--workers", "2"],
    "bf16": ["--precision", "bf16"],
    "fp16": ["--precision", "fp16"],
    "everything": [
        *("--workers", "2", "--precision", "bf16", "--set", "train.accumulate=2"),
        *("--set", "train.average={decay: 0.9, start: 5}", "--set", "train.clip_gradients=1"),
        *(
            "--set",
            "train.schedule={kind: linear, start: 0.3}",
            "--set",
            "train.turns={D: {above: 0.2}, G: {every: 2}}",
        ),
        *("--set", "train.aids={label_smoothing: 0.1, label_flip: 0.05, instance_noise: 0.1, replay: 0.5}"),
        *("--set", "train.aids.replay_size=8"),
        *("--set", "train.aids.old_networks=0.5", "--set", "train.aids.old_networks_every=2"),
        *("--set", "data={flip: true, crop: random, load_size: 36}"),
    ],
    "replay": [
        *("--set", "train.aids={replay: 0.5, replay_size: 8, old_networks: 0.5, old_networks_every: 2}"),
        *("--set", "train.turns={G: {every: 2, unit: epochs}}", "--set", "train.log_every=1"),
    ],
}


Gancli = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gancli(capfd: pytest.CaptureFixture[str]) -> Gancli:
    """A function that runs ``gancli`` in this process and returns what it writes to stdout and stderr."""

    def call(*words: str, code: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        assert run(words) == code
        return capfd.readouterr()

    return call


def process(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gancli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_at(path: Path, *words: str) -> None:
    """Runs ``gancli`` in a process of its own, which is killed as soon as there is ``path``."""
    victim = process(*words)
    wait_for(path.exists, victim)
    victim.kill()
    victim.communicate()


def photos() -> None:
    folder = Path("photos")
    if not folder.exists():
        shapes = open_source("shapes").domains["image"]
        folder.mkdir()
        for index in range(IMAGES):
            Image.fromarray(shapes.read(index, 3, 36 + index % 3)).save(folder / f"{index}.png")


def train(name: str, *extra: str, steps: int = STEPS) -> list[str]:
    """The words of a training; also draws what it trains on."""
    photos()
    return ["train", "dcgan-shapes", "--data", "photos", "--steps", str(steps), "--name", name, *TINY, *extra]


def log(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


def same(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert log(one) == log(other)
    last = max((one / "samples").iterdir())
    assert last.read_bytes() == (other / "samples" / last.name).read_bytes()


SLOW = ("fp32", "bf16", "fp16", "2 workers", "replay")


@pytest.mark.parametrize("variant", [pytest.param(v, marks=pytest.mark.slow) if v in SLOW else v for v in VARIANTS])
def test_killed_and_resumed_equals_never_stopped(gancli: Gancli, variant: str) -> None:
    extra = VARIANTS[variant]
    gancli(*train("whole", *extra))
    cut = Path("runs/cut")
    kill_at(cut / "checkpoints/4", *train("cut", *extra))
    kill_at(cut / "checkpoints/8", "resume", "cut")
    gancli("resume", "cut")
    same(Path("runs/whole"), cut)
    steps = [line["step"] for line in log(cut)]
    assert steps == ([*range(1, 13)] if variant == "replay" else [5, 10, 12])


GROWING = {
    "progan": ["--set", "model.classes=0", "--set", "train.average={decay: 0.9, half_life_kimg: null}"],
    "stylegan": [
        *("--set", "model.style_dim=8", "--set", "model.mapping_layers=2", "--set", "model.r1_every=2"),
        *("--set", "train.average={half_life_kimg: 0.02}"),
    ],
}


@pytest.mark.parametrize("architecture", ["stylegan", pytest.param("progan", marks=pytest.mark.slow)])
def test_growing_networks_go_on_where_they_were_in_a_fade(gancli: Gancli, architecture: str) -> None:
    def grow(name: str) -> list[str]:
        return [
            *("train", f"{architecture}-shapes", "--data", "photos", "--steps", "16", "--name", name),
            *("--set", "model.resolution=16", "--set", "model.width=16", "--set", "model.latent_dim=8"),
            *("--set", "model.growth={initial_resolution: 4, stable_kimg: 0.016, fade_kimg: 0.024}"),
            *("--set", "train.batch={4: 8, 8: 4, 16: 2}", "--set", "train.log_every=1", "--set", "train.samples=4"),
            *("--set", "train.checkpoint_every=5", "--set", "train.sample_every=100"),
            *GROWING[architecture],
        ]

    photos()
    gancli(*grow("whole"))
    cut = Path("runs/cut")
    kill_at(cut / "checkpoints/5", *grow("cut"))
    gancli("resume", "cut")
    same(Path("runs/whole"), cut)
    stages = [(line["resolution"], line["alpha"]) for line in log(cut)]
    # 8 images a step at 4 px and 4 at 8 px; a line says where the next step stands. The kill came within the fade.
    assert stages[:7] == [(4, 1), (4, 1), *((8, round(images / 24, 4)) for images in (8, 12, 16, 20)), (8, 1)]
    assert stages[10:13] == [(8, 1), (16, round(4 / 24, 4)), (16, round(6 / 24, 4))]
    # Adam has forgotten what was before: of the layers at 4 px too it has seen no more than the last phase.
    moments = load_tensors(cut / "checkpoints/16/optimizers.safetensors")
    counts = {key: int(value) for key, value in moments.items() if key.startswith("G/") and key.endswith("/step")}
    assert counts
    assert set(counts.values()) == {16 - 12}
    unused = [key for key in counts if "to_rgb.0" in key]
    assert not unused  # the output at 4 px is no part of a fade from 8 to 16 px


def test_data_that_have_moved_can_be_named(capfd: pytest.CaptureFixture[str]) -> None:
    folder(Path("photos"), 32, seed=0, side=32)
    words = ["--steps", "2", "--batch", "4", "--name", "run", "--set", "train.samples=1"]
    assert run(["train", "dcgan-shapes", "--data", "photos", *words]) == 0
    Path("photos").rename("moved")
    capfd.readouterr()
    assert run(["resume", "run", "--steps", "3"]) == 2
    assert "hint: if the data have moved: --set data.source=PATH" in capfd.readouterr().err
    assert run(["resume", "run", "--steps", "3", "--set", "data.source=moved"]) == 0


def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(capfd: pytest.CaptureFixture[str]) -> None:
    folder(Path("photos"), 32, seed=0, side=32)
    words = ["--steps", "2", "--batch", "4", "--name", "run", "--set", "train.samples=1"]
    assert run(["train", "dcgan-shapes", "--data", "photos", *words]) == 0
    shutil.rmtree("runs/run/checkpoints")
    model, log = Path("runs/run/model.safetensors").read_bytes(), Path("runs/run/log.jsonl").read_bytes()
    capfd.readouterr()
    assert run(["resume", "run", "--steps", "4"]) == 2
    err = capfd.readouterr().err
    assert "runs/run has a model but no checkpoint" in err
    assert "--init-from runs/run/model.safetensors" in err
    assert Path("runs/run/model.safetensors").read_bytes() == model
    assert Path("runs/run/log.jsonl").read_bytes() == log


def test_a_growing_run_cannot_be_shortened_or_get_other_networks(capfd: pytest.CaptureFixture[str]) -> None:
    folder(Path("photos"), 32, seed=0, side=32)
    words = ["--kimg", "0.1", "--name", "run", "--set", "model.width=16", "--set", "train.samples=1"]
    assert run(["train", "stylegan-shapes", "--data", "photos", *words]) == 0
    before = Path("runs/run/config.yaml").read_bytes()
    for change, said in (
        ("model.resolution=64", "does not fit the networks of this configuration: model.resolution was 32, now 64"),
        ("train.kimg=0.03", "has already shown 0.128 kimg, so it cannot end after 0.03"),
    ):
        capfd.readouterr()
        assert run(["resume", "run", "--set", change]) == 2
        assert said in " ".join(capfd.readouterr().err.split())
        assert Path("runs/run/config.yaml").read_bytes() == before


TRANSLATORS = {
    "cyclegan": ["--set", "model.blocks=1", "--set", "model.pool_size=3"],
    "pix2pix": ["--set", "model.receptive_field=16"],
}


def two_domains() -> None:
    """Writes 9 images of either domain to train on and 3 to test, of unequal proportions."""
    source = open_source("shapes:domains", "test")
    for images, side in zip(source.domains.values(), "AB", strict=True):
        for part, first, last in (("train", 0, 9), ("test", 9, 12)):
            folder = Path(f"plain2striped/{part}{side}")
            folder.mkdir(parents=True)
            for index in range(first, last):
                whole = Image.fromarray(images.read(index, 3, 40))
                whole.crop((0, 0, 40, 36 if side == "A" else 40)).save(folder / f"{index}.png")


def translator(preset: str, *extra: str) -> list[str]:
    return [
        *("train", preset, "--data", "plain2striped", "--steps", str(STEPS), "--resolution", "32", "--batch", "2"),
        *("--set", "model.generator_width=2", "--set", "model.discriminator_width=2", *TRANSLATORS[preset]),
        *("--set", "train.log_every=5", "--set", "train.checkpoint_every=4", "--set", "train.sample_every=6"),
        *("--set", "train.samples=3", *extra),
    ]


@pytest.mark.parametrize("preset", TRANSLATORS)
def test_translators_go_on_with_their_pools_their_noise_and_their_previews(gancli: Gancli, preset: str) -> None:
    two_domains()
    gancli(*translator(preset, "--name", "whole"))
    whole, cut = Path("runs/whole"), Path("runs/cut")
    kill_at(cut / "checkpoints/8", *translator(preset, "--name", "cut"))
    Path("plain2striped").rename("moved")  # the domains keep their names
    gancli("resume", "cut", "--set", "data.source=moved")
    assert read_info(cut / "model.safetensors").domains == ["plain", "striped"]
    assert log(whole) == log(cut)
    rest = (whole / "checkpoints/12/rest.safetensors").read_bytes()
    assert rest == (cut / "checkpoints/12/rest.safetensors").read_bytes()
    assert (b"pool_a.images" in rest) == (preset == "cyclegan")
    weights = [load_tensors(run / "model.safetensors") for run in (whole, cut)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    last = max((whole / "samples").iterdir())
    assert last.read_bytes() == (cut / "samples" / last.name).read_bytes()
    measured = [line for line in log(whole) if "test_L1" in line]
    assert [line["step"] for line in measured] == ([6, 12] if preset == "pix2pix" else [])
    assert not any(name.startswith("pool") for name in read_info(whole / "model.safetensors").networks)
    with Image.open(last) as picture:
        # Three rows; three columns of a pair, or four columns of each domain beside those of the other.
        assert picture.size == ((3 * 34 - 2, 100) if preset == "pix2pix" else (2 * (4 * 34 - 2) + 8, 100))


def test_unpaired_images_of_the_same_names_need_not_have_the_same_proportions(gancli: Gancli) -> None:
    two_domains()
    for side in "AB":
        shutil.rmtree(f"plain2striped/test{side}")
    cover = ("--set", "data.resize=cover")
    _, err = gancli(*translator("cyclegan", *cover))
    assert "left out" not in err
    _, err = gancli(*translator("pix2pix", *cover), code=2)
    assert "but its partner" in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.parametrize("aids", [False, True])
def test_every_process_goes_on_with_its_own_pool(aids: bool) -> None:
    two_domains()
    words = train("whole", *VARIANTS["replay"]) if aids else translator("cyclegan", "--name", "whole")

    def torchrun(*words: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = subprocess.run([*command, "-m", "gancli", *words], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr

    torchrun(*words)
    whole, cut = Path("runs/whole"), Path("runs/cut")
    pools = [(whole / f"checkpoints/8/{name}.safetensors").read_bytes() for name in ("rest", "rest-1")]
    assert pools[0] != pools[1]
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints/12")  # as if killed before it
    torchrun("resume", "cut")
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    for name in ("rest", "rest-1"):
        path = f"checkpoints/12/{name}.safetensors"
        assert (cut / path).read_bytes() == (whole / path).read_bytes()


def test_killed_before_the_first_checkpoint(gancli: Gancli) -> None:
    gancli(*train("whole", steps=3))
    kill_at(Path("runs/cut/config.yaml"), *train("cut", steps=3))
    out, _ = finish(process("resume", "cut"))
    assert out == "runs/cut\n"
    same(Path("runs/whole"), Path("runs/cut"))


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143), (signal.SIGHUP, "SIGHUP", 129)],
)
def test_signals_write_a_checkpoint_and_leave(gancli: Gancli, number: int, name: str, code: int) -> None:
    if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("these tests run under nohup")
    stopped = process(*train("run", "--workers", "1", steps=100_000))
    root = Path("runs/run")
    wait_for((root / "log.jsonl").exists, stopped)
    stopped.send_signal(number)
    if number == signal.SIGINT:  # a terminal and torchrun may both pass on one Ctrl-C
        time.sleep(0.02)
        stopped.send_signal(number)
    out, err = finish(stopped, code)
    assert out == "runs/run\n"
    assert re.search(rf"^Stopped by {name} after step \d+\. Continue with: gancli resume runs/run$", err, re.MULTILINE)
    assert "Traceback" not in err
    (newest,) = sorted(int(path.name) for path in (root / "checkpoints").iterdir())[-1:]
    assert newest >= log(root)[-1]["step"]
    out, _ = gancli("resume", "run", "--steps", str(newest + 2))
    assert out == "runs/run\n"
    assert log(root)[-1]["step"] == newest + 2


@pytest.mark.parametrize("how", ["moved", pytest.param("removed", marks=pytest.mark.slow), "replaced"])
def test_a_run_directory_that_goes_away_is_not_made_again(gancli: Gancli, how: str) -> None:
    running = process(*train("run", "--set", "train.log_every=1", steps=100_000))
    root = Path("runs/run")
    wait_for(lambda: (root / "log.jsonl").exists() and (root / "checkpoints").exists(), running)
    running.send_signal(signal.SIGSTOP)  # or it might look between the two
    root.rename("runs/elsewhere")
    if how != "moved":
        shutil.rmtree("runs/elsewhere")
    if how == "replaced":
        root.mkdir()
        (root / "config.yaml").write_text("# of another run\n")
    running.send_signal(signal.SIGCONT)
    _, err = finish(running, 1)
    if how == "moved":
        assert "error: the run directory runs/run has been moved to" in err
        assert re.search(r"hint: gancli resume \S*runs/elsewhere$", err, re.MULTILINE)
        assert not root.exists()
        step = log(Path("runs/elsewhere"))[-1]["step"]
        gancli("resume", "elsewhere", "--steps", str(step + 5))
    else:
        assert "error: the run directory runs/run has been removed" in err
        assert not Path("runs/elsewhere").exists()
        assert [path.name for path in root.iterdir()] == ["config.yaml"] if how == "replaced" else not root.exists()


def test_what_killed_processes_left_goes_with_the_next_resume(gancli: Gancli) -> None:
    gancli(*train("run", steps=2))
    left = [Path("runs/run") / name for name in (".model.safetensors.123", "samples/.00000002.png.123")]
    for path in left:
        path.touch()
    gancli("resume", "run", "--steps", "3")
    assert not any(path.exists() for path in left)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(gancli: Gancli) -> None:
    gancli(*train("whole"))
    hurt = Path("runs/hurt")
    shutil.copytree("runs/whole", hurt)
    newest = hurt / "checkpoints/12/optimizers.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    _, err = gancli("resume", "hurt")
    assert "checkpoints/12 is damaged" in err
    same(Path("runs/whole"), hurt)
    assert sorted(path.name for path in (hurt / "checkpoints").iterdir()) == ["12", "12.damaged", "8"]


def test_a_finished_run_is_prolonged_and_a_running_one_is_locked(gancli: Gancli) -> None:
    gancli(*train("run", steps=3))
    root = Path("runs/run")
    model = (root / "model.safetensors").read_bytes()
    (root / "model.safetensors").unlink()  # as if killed between the checkpoint and this file
    out, _ = gancli("resume", "run")
    assert out == "runs/run\n"
    assert (root / "model.safetensors").read_bytes() == model
    running = process("resume", "run", "--steps", "100000")
    wait_for(lambda: len(log(root)) > 1, running)
    _, err = gancli("resume", "run", code=2)
    assert f"is being trained by process {running.pid}" in err
    running.kill()
    running.communicate()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(gancli: Gancli) -> None:
    gancli(*train("run", steps=4))
    root = Path("runs/run")
    good = (root / "model.safetensors").read_bytes()
    # The weights are broken by step 5, and a checkpoint falls due before any loss shows it.
    broken = ["--set", "model.optimizers.D.lr=1e39", "--set", "train.checkpoint_every=1"]
    _, err = gancli("resume", "run", "--steps", "30", *broken, code=1)
    assert "error: " in err
    assert "infinite or no number" in err or "became" in err
    assert "checkpoints/4" in err
    assert "hint: gancli resume runs/run --set model.optimizers.D.lr=" in err
    assert (root / "model.safetensors").read_bytes() == good
    assert [path.name for path in (root / "checkpoints").iterdir()] == ["4"]


def test_data_that_have_changed_are_noticed_and_their_place_can_be_changed(gancli: Gancli) -> None:
    gancli(*train("run", steps=2))
    Path("photos/0.png").unlink()
    Path("photos").rename("moved")
    _, err = gancli("resume", "run", "--steps", "3", code=2)
    assert "photos" in err
    _, err = gancli("resume", "run", "--steps", "3", "--set", "data.source=moved")
    assert "warning: the data have changed: 44 images now, 45 before" in err
    assert log(Path("runs/run"))[-1]["step"] == 3


def test_where_no_checkpoint_can_be_read_nothing_is_touched(gancli: Gancli) -> None:
    gancli(*train("run"))
    root = Path("runs/run")
    for step in (8, 12):
        (root / f"checkpoints/{step}/state.json").unlink()
    before = {path.name: path.read_bytes() for path in root.iterdir() if path.suffix}
    _, err = gancli("resume", "run", code=2)
    assert "checkpoints/12 is damaged: state.json is missing" in err
    assert "--init-from runs/run/model.safetensors" in err
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.suffix} == before
    assert sorted(path.name for path in (root / "checkpoints").iterdir()) == ["12", "8"]


def test_weights_to_begin_with_survive_a_kill_before_the_first_checkpoint(gancli: Gancli) -> None:
    gancli(*train("first", steps=4))
    extra = ("--init-from", "first", "--seed", "1")
    gancli(*train("whole", *extra, steps=4))
    gancli(*train("plain", "--seed", "1", steps=4))
    kill_at(Path("runs/cut/config.yaml"), *train("cut", *extra, steps=4))
    gancli("resume", "cut")
    same(Path("runs/whole"), Path("runs/cut"))
    whole, plain = (Path(f"runs/{name}/model.safetensors").read_bytes() for name in ("whole", "plain"))
    assert whole != plain


@pytest.mark.slow
def test_precision_and_averaging_can_be_changed_on_the_way(gancli: Gancli) -> None:
    gancli(*train("run", "--set", "train.average=null", steps=2))
    for steps, *sets in (
        (4, "train.precision=fp16", "train.average={decay: 0.9}"),
        (6, "train.precision=bf16", "train.average=null"),
        (8, "train.average={decay: 0.9}"),
    ):
        options = [word for item in sets for word in ("--set", item)]
        gancli("resume", "run", "--steps", str(steps), *options)
    assert log(Path("runs/run"))[-1]["step"] == 8


def test_going_on_without_averages_goes_on_from_the_raw_weights(gancli: Gancli) -> None:
    options = ("--set", "train.average={decay: 0.99}", "--set", "train.log_every=1")
    gancli(*train("with", *options, steps=4))
    gancli(*train("without", "--set", "train.average=null", "--set", "train.log_every=1", steps=4))
    for name in ("with", "without"):  # schedules follow the length, so both become longer alike
        gancli("resume", name, "--steps", "5", "--set", "train.average=null")
    assert Path("runs/with/model.safetensors").stat().st_size > 0
    one, other = (log(Path("runs", name))[-1] for name in ("with", "without"))
    assert one.pop("watch").keys() == other.pop("watch").keys()  # of step 4, whose samples were those of averages
    assert one == other


def test_a_finished_run_cannot_end_earlier(gancli: Gancli) -> None:
    gancli(*train("run", steps=4))
    config = Path("runs/run/config.yaml").read_bytes()
    _, err = gancli("resume", "run", "--steps", "3", code=2)
    assert "already has 4 steps" in err
    assert Path("runs/run/config.yaml").read_bytes() == config
    _, err = gancli("resume", "run")
    assert "is finished; make it longer: gancli resume runs/run --steps 8" in err
