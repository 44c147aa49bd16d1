"""The model file says itself what it is, and names find it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gancli import config as configuration
from gancli import modelfile, registry
from gancli.architectures.dcgan import DCGAN
from gancli.domains import Domain, Inputs
from gancli.errors import GancliError
from gancli.nn.init import without_weights


def small_model(path: Path, networks: tuple[str, ...] = ("generator", "discriminator")) -> DCGAN:
    config = configuration.resolve(
        "dcgan-shapes",
        sets=[
            "model.generator_width=4",
            "model.discriminator_width=4",
            "data.source=/home/me/photos",
            "train.init_from=/home/me/first.safetensors",
        ],
    )
    torch.manual_seed(0)
    model = DCGAN(config.model).eval()  # type: ignore[arg-type]
    info = modelfile.describe(
        "dcgan",
        config,
        networks=list(networks),
        inputs=DCGAN.inputs(config.model),
        classes=("ros\udcff", "Süß"),
        step=7,
        images_shown=448,
        training={"D": 1.5},
    )
    tensors = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in networks}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(modelfile.to_bytes(info, tensors))
    return model


def test_a_file_alone_gives_the_same_images(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.safetensors")
    loaded, info = modelfile.load_model(tmp_path / "m.safetensors", torch.device("cpu"))
    z = model.latents(3, torch.Generator().manual_seed(1))
    assert torch.equal(loaded.decode(z), model.decode(z))
    assert (info.architecture, info.step, info.images_shown, info.training) == ("dcgan", 7, 448, {"D": 1.5})
    assert info.classes == ["ros?", "Süß"]  # a folder's name need not be Unicode
    assert (info.domains, info.inputs) == (["image"], Inputs({"image": Domain((3, 32, 32))}))
    assert not loaded.training


def test_equal_models_are_equal_bytes_and_tell_no_directories(tmp_path: Path) -> None:
    small_model(tmp_path / "a.safetensors")
    small_model(tmp_path / "b.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content == (tmp_path / "b.safetensors").read_bytes()
    assert b"/home/me" not in content
    assert modelfile.read_info(tmp_path / "a.safetensors").config["data"]["source"] == "./photos"
    assert modelfile.read_info(tmp_path / "a.safetensors").config["train"]["init_from"] == "./first.safetensors"


def test_a_generator_alone_is_loaded_without_a_discriminator(tmp_path: Path) -> None:
    small_model(tmp_path / "g.safetensors", networks=("generator",))
    loaded, _ = modelfile.load_model(tmp_path / "g.safetensors", torch.device("cpu"))
    assert [name for name, _ in loaded.named_children()] == ["generator"]


def test_tensors_that_no_file_holds_are_there_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaling(DCGAN):
        def __init__(self, config: DCGAN.Config) -> None:
            super().__init__(config)
            self.register_buffer("scale", torch.tensor(0.5), persistent=False)
            self.shift = torch.tensor(0.25)

        def decode(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
            return super().decode(z) * self.scale + self.shift

    model = small_model(tmp_path / "m.safetensors")
    monkeypatch.setattr(registry, "load_architecture", lambda name: Scaling)
    loaded, _ = modelfile.load_model(tmp_path / "m.safetensors", torch.device("cpu"))
    z = model.latents(3, torch.Generator().manual_seed(1))
    assert torch.allclose(loaded.decode(z), model.decode(z) * 0.5 + 0.25)


def test_names_are_looked_up_in_runs_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANCLI_HOME", str(tmp_path / "home"))
    small_model(tmp_path / "home/models/horses.safetensors")
    small_model(tmp_path / "home/models/both.safetensors")
    small_model(tmp_path / "runs/both/model.safetensors")
    assert modelfile.find_model("horses") == tmp_path / "home/models/horses.safetensors"
    assert modelfile.find_model("both") == Path("runs/both/model.safetensors")
    assert modelfile.find_model("runs/both") == Path("runs/both/model.safetensors")
    assert modelfile.find_model("home/models/horses.safetensors") == Path("home/models/horses.safetensors")
    with pytest.raises(GancliError) as caught:
        modelfile.find_model("horse")
    assert "did you mean 'horses'?" in caught.value.hint


def test_a_run_without_a_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANCLI_HOME", str(tmp_path / "home"))
    (tmp_path / "runs/new").mkdir(parents=True)
    (tmp_path / "runs/new/config.yaml").write_text("architecture: dcgan\n")
    for name in ("new", "runs/new"):
        with pytest.raises(GancliError, match="no model yet") as caught:
            modelfile.find_model(name)
        assert caught.value.hint == "gancli resume runs/new"
    with pytest.raises(GancliError, match="none at all"):
        modelfile.find_model("other")


def test_a_folder_of_images_does_not_hide_the_run_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANCLI_HOME", str(tmp_path / "home"))
    for name in ("photos", "begun", "other"):
        (tmp_path / name).mkdir()
    small_model(tmp_path / "runs/photos/model.safetensors")
    (tmp_path / "runs/begun").mkdir()
    (tmp_path / "runs/begun/config.yaml").write_text("architecture: dcgan\n")
    assert modelfile.find_model("photos") == Path("runs/photos/model.safetensors")
    with pytest.raises(GancliError, match="runs/begun has no model yet"):
        modelfile.find_model("begun")
    with pytest.raises(GancliError, match=r"no model\.safetensors in other"):
        modelfile.find_model("other")
    small_model(tmp_path / "photos/model.safetensors")  # a run directory of this name goes first
    assert modelfile.find_model("photos") == Path("photos/model.safetensors")


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"])
def test_what_can_be_no_path_is_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANCLI_HOME", str(tmp_path / "home"))
    with pytest.raises(GancliError, match="there is no model"):
        modelfile.find_model(name)


def header_of(path: Path) -> tuple[dict[str, object], bytes]:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(path: Path, header: dict[str, object], rest: bytes) -> None:
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + rest)


def test_damaged_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "m.safetensors"
    small_model(good)
    header, rest = header_of(good)

    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-100])
    with pytest.raises(GancliError, match=r"cut\.safetensors is damaged: it is cut off after"):
        modelfile.read_info(tmp_path / "cut.safetensors")

    write_header(tmp_path / "foreign.safetensors", {k: v for k, v in header.items() if k != "__metadata__"}, rest)
    with pytest.raises(GancliError, match="not a model file of gancli"):
        modelfile.read_info(tmp_path / "foreign.safetensors")

    info = json.loads(header["__metadata__"]["gancli"])  # type: ignore[index]
    newer = {**header, "__metadata__": {"gancli": json.dumps({**info, "format": 99, "gancli": "9.9"})}}
    write_header(tmp_path / "newer.safetensors", newer, rest)
    with pytest.raises(GancliError, match=r"written by gancli 9\.9"):
        modelfile.read_info(tmp_path / "newer.safetensors")

    info["config"]["model"]["generator_width"] = 8
    write_header(tmp_path / "other.safetensors", {**header, "__metadata__": {"gancli": json.dumps(info)}}, rest)
    with pytest.raises(GancliError, match="do not fit"):
        modelfile.load_model(tmp_path / "other.safetensors", torch.device("cpu"))


def with_info(path: Path, change: dict[str, object], without: tuple[str, ...] = ()) -> Path:
    header, rest = header_of(path)
    info = json.loads(header["__metadata__"]["gancli"])  # type: ignore[index]
    info = {key: value for key, value in {**info, **change}.items() if key not in without}
    changed = path.with_name("changed.safetensors")
    write_header(changed, {**header, "__metadata__": {"gancli": json.dumps(info)}}, rest)
    return changed


def test_a_file_may_say_less_or_more(tmp_path: Path) -> None:
    small_model(tmp_path / "m.safetensors")
    optional = ("classes", "step", "images_shown", "training", "origin", "gancli")
    changed = with_info(tmp_path / "m.safetensors", {"styles": 16}, without=optional)
    _, info = modelfile.load_model(changed, torch.device("cpu"))
    assert (info.origin, info.classes, info.step, info.training) == ("", [], 0, {})


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"config": {}},
        {"config": {"model": None}},
        {"architecture": 3},
        {"networks": "generator"},
        {"step": "7"},
        {"training": {"D": "x"}},
        {"inputs": {"image": 64}},
        {"inputs": {"domains": {}}},
        {"format": None},
    ],
)
def test_a_file_that_says_nonsense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    small_model(tmp_path / "m.safetensors")
    with pytest.raises(GancliError, match="not a model file of gancli"):
        modelfile.read_info(with_info(tmp_path / "m.safetensors", change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "dcgam"}, "there is no architecture 'dcgam'"),
        ({"config": {"model": {"resolution": "big", "generator_widht": 4}}}, "generator_widht"),
    ],
)
def test_a_model_that_cannot_be_built(tmp_path: Path, change: dict[str, object], said: str) -> None:
    small_model(tmp_path / "m.safetensors")
    with pytest.raises(GancliError) as caught:
        modelfile.load_model(with_info(tmp_path / "m.safetensors", change), torch.device("cpu"))
    assert said in caught.value.message
    assert "changed.safetensors" in caught.value.message


@pytest.mark.parametrize("header", [b"5", b'"x"', b"[]", b'{"__metadata__": 5}'])
def test_a_header_that_is_no_object_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(GancliError, match="not a model file of gancli"):
        modelfile.read_info(tmp_path / "m.safetensors")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(GancliError):
        modelfile.read_info(path)


FIXTURES = Path(__file__).parent / "fixtures" / "version_1"


def test_loading_does_no_needless_work() -> None:
    """torch's compiler and sympy take a second to import; torch's meta device imports them wherever it computes."""
    script = (
        "import sys, torch; from pathlib import Path; from gancli.modelfile import load_model\n"
        "for path in sys.argv[1:]: load_model(Path(path), torch.device('cpu'))\n"
        "print(*sys.modules)"
    )
    files = [str(path) for path in sorted(FIXTURES.glob("*/run/model.safetensors"))]
    assert len(files) == 6
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "gancli.architectures.ugatit" in imported
    assert not imported & {"torch._dynamo", "torch._inductor", "sympy"}


@pytest.mark.parametrize("name", registry.architecture_names())
def test_networks_of_the_published_size_are_built_without_drawing_weights(name: str) -> None:
    kind = registry.load_architecture(name)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with without_weights():
        model = kind(kind.Config())
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)
