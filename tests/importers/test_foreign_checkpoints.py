"""Checkpoints as people write them: any keys and prefixes, beside anything, of any type of number, or broken."""

from __future__ import annotations

import argparse
import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancli.errors import GancliError
from gancli.importers import import_checkpoint

State = dict[str, Tensor]


def dcgan(width: int = 4) -> State:
    """Returns the state dict of a generator of pytorch/examples, 32 px."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for given, made in ((8, 4 * width), (4 * width, 2 * width), (2 * width, width)):
        first = not layers
        layers += [nn.ConvTranspose2d(given, made, 4, 1 if first else 2, 0 if first else 1, bias=False)]
        layers += [nn.BatchNorm2d(made), nn.ReLU()]
    layers += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return {f"main.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}


def judge() -> State:
    return {f"main.{key}": value for key, value in nn.Sequential(nn.Conv2d(3, 4, 4)).state_dict().items()}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def optimizer() -> dict[str, Any]:
    network = nn.Linear(2, 2)
    rule = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    rule.step()
    return rule.state_dict()


class Settings(dict[str, Any]):
    """A class of the trainer's own."""


def kept() -> dict[str, Any]:
    """Returns what trainers keep beside weights."""
    return {
        "epoch": 3,
        "args": argparse.Namespace(lr=2e-4, device=torch.device("cpu"), betas=(0.5, 0.999)),
        "best": np.float64(3.5),
        "seed": np.int64(3),
        "kinds": {"a", "b"},
        "sizes": {(1, 2): frozenset({3})},
        "losses": np.arange(3.0),
        "place": Path("/somewhere"),
        "hyper_parameters": Settings(lr=1e-3),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(1.0), "dirpath": "x"}},
        "rng": np.random.RandomState(0).get_state(),
        "torch_rng": torch.get_rng_state(),
        "history": defaultdict(list, {"d": [1.0, 2.0]}),
        "optimizer": optimizer(),
    }


WRAPPED = {
    "plain": lambda s, d: s,
    "beside": lambda s, d: {**kept(), "netG": s, "netD": d},
    "mixed": lambda s, d: {**s, "epoch": 3},
    "ordered": lambda s, d: OrderedDict(s),
    "lightning": lambda s, d: {**kept(), "state_dict": {**under("generator.", s), **under("discriminator.", d)}},
    "netG": lambda s, d: under("netG.", s),
    "two": lambda s, d: {**under("netG.", s), **under("netD.", d)},
    "parallel": lambda s, d: {"generator_state": under("module.", s), "opt": optimizer()},
    "compiled": lambda s, d: {"state_dict": under("model._orig_mod.", s)},
    "deep": lambda s, d: {"a": {"b": {"c": under("model.generator.module.", s)}}},
    "list": lambda s, d: [s, optimizer(), 3],
    "twice": lambda s, d: {"models": [{"G": s}, {"D": d}], "self": None},
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("legacy", [False, True])
def test_state_dicts_under_any_key(tmp_path: Path, how: str, legacy: bool) -> None:
    state = dcgan()
    torch.save(state, tmp_path / "netG.pth")
    expected = import_checkpoint("dcgan", [tmp_path / "netG.pth"])
    torch.save(WRAPPED[how](state, judge()), tmp_path / "netG.pth", _use_new_zipfile_serialization=not legacy)
    assert import_checkpoint("dcgan", [tmp_path / "netG.pth"]) == expected
    torch.save(WRAPPED[how](state, judge()), tmp_path / "netG.pth", pickle_protocol=4)
    assert import_checkpoint("dcgan", [tmp_path / "netG.pth"]) == expected


def test_what_contains_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"netG": dcgan()}
    content["self"] = content
    content["netG_too"] = [content] * 3
    torch.save(content, tmp_path / "netG.pth")
    import_checkpoint("dcgan", [tmp_path / "netG.pth"])
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    torch.save(deep, tmp_path / "netG.pth")
    with pytest.raises(GancliError, match="holds no state dict"):
        import_checkpoint("dcgan", [tmp_path / "netG.pth"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in dcgan().items()}
    torch.save(state, tmp_path / "netG.pth")
    found = import_checkpoint("dcgan", [tmp_path / "netG.pth"])
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    torch.save(state, tmp_path / "netG.pth")
    assert found == import_checkpoint("dcgan", [tmp_path / "netG.pth"])


FIRST = "main.0.weight"
SPOILT = {
    "f8": (lambda t: t.to(torch.float8_e4m3fn), f"{FIRST}: float8_e4m3fn, here float32"),
    "complex": (lambda t: t.to(torch.complex64), f"{FIRST}: complex64, here float32"),
    "int": (lambda t: t.to(torch.int64), f"{FIRST}: int64, here float32"),
    "sparse": (lambda t: t.to_sparse(), "chain of transposed convolutions"),
    "nan": (lambda t: t.fill_(torch.nan), f"{FIRST} has values that are not finite"),
    "inf": (lambda t: t.index_fill(0, torch.tensor(1), torch.inf), f"{FIRST} has values that are not finite"),
    "large": (lambda t: t.double() + 1e39, f"{FIRST} has values that are not finite"),
    "expanded": (lambda t: torch.zeros(1, 1, 1, 1).expand(10**6, 10**6, 4, 4), "not a PyTorch checkpoint"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_no_weight_is_named(tmp_path: Path, how: str) -> None:
    change, said = SPOILT[how]
    state = dcgan()
    torch.save({**state, FIRST: change(state[FIRST])}, tmp_path / "netG.pth")
    with pytest.raises(GancliError) as caught:
        import_checkpoint("dcgan", [tmp_path / "netG.pth"])
    assert said in caught.value.message


def rewritten(path: Path, change: Any) -> None:
    """Applies a change to the members of a checkpoint's archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, members)


def deflated(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    for name, content in members.items():
        content = bytes(2**30) if name.endswith("data/0") else content
        archive.writestr(name, content, zipfile.ZIP_DEFLATED)


def memo(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    for name, content in members.items():
        evil = b"\x80\x02}r\xff\xff\xff\x7f."  # an empty dict, at place 2^31 - 1 of the memo
        archive.writestr(name, evil if name.endswith("data.pkl") else content)


def long_bytes(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    for name, content in members.items():
        evil = b"\x80\x05\x96" + (2**33).to_bytes(8, "little") + b"."
        archive.writestr(name, evil if name.endswith("data.pkl") else content)


SCRIPT = """
import resource, sys, time
import torch
from pathlib import Path
import gancli.config, gancli.architectures.dcgan, gancli.importers.reading, gancli.importers.pytorch_examples
from gancli.errors import GancliError
from gancli.importers import import_checkpoint
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
gancli.config.resolve("dcgan")
before, begun = peak(), time.process_time()
try:
    import_checkpoint("dcgan", [Path(sys.argv[1])])
except GancliError as error:
    print(f"{time.process_time() - begun:.2f} {peak() - before:.0f} {error}")
"""


SLOW_TO_MAKE = ("deflated", "long_bytes", "wide", "crossed", "storage")


def tuples(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    for name, content in members.items():
        evil = b"\x80\x02}" + b")" + 60 * b"2\x86" + b"K\x01s."  # ((((), ()), ...)) as a key
        archive.writestr(name, evil if name.endswith("data.pkl") else content)


@pytest.mark.parametrize(
    "how",
    ["tuples", "memo", *(pytest.param(how, marks=pytest.mark.slow) for how in SLOW_TO_MAKE)],
)
def test_small_checkpoints_cost_little(tmp_path: Path, how: str) -> None:
    path = tmp_path / "netG.pth"
    torch.save(dcgan(), path)
    if how in ("tuples", "deflated", "memo", "long_bytes"):
        rewritten(path, globals()[how])
    elif how == "wide":
        empty = torch.zeros(1).as_strided((0, 2**16, 4, 4), (1, 1, 1, 1))
        torch.save({**dcgan(), FIRST: empty}, path)
    elif how == "crossed":  # each is small, but what they imply together is not
        state = dcgan()
        last = next(key for key in reversed(state) if key.startswith("main.9"))
        torch.save({**state, FIRST: torch.zeros(2**16, 1, 4, 4), last: torch.zeros(2**16, 1, 4, 4)}, path)
    else:
        file = io.BytesIO()
        torch.save(dcgan(), file, _use_new_zipfile_serialization=False)
        path.write_bytes(file.getvalue().replace(b"FloatStorage", b"DoubleStorage"))
    assert path.stat().st_size < 2**24
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seconds, megabytes, _ = done.stdout.split(" ", 2)
    assert float(seconds) < 1, done.stdout
    assert float(megabytes) < 200, done.stdout


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("open('exploded', 'w')",)


def test_weights_of_features_are_read_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gancli.metrics.features import read_state

    monkeypatch.chdir(tmp_path)
    torch.save(dcgan(), "a.pth")
    assert read_state(Path("a.pth")).keys() == dcgan().keys()
    Path("b.pth").write_bytes(pickle.dumps(Bomb()))
    torch.save({"a": Bomb()}, "c.pth")
    for name in ("b.pth", "c.pth"):
        with pytest.raises(GancliError):
            read_state(Path(name))
    assert not Path("exploded").exists()
