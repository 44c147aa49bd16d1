"""The model file, one ``.safetensors`` that describes itself, and the names that users give for one.

The header's metadata has one entry, ``gancli``, a JSON object: ``ModelInfo``. (One entry, because the order of several
is not fixed, and equal models should be equal bytes.) Reading the header needs neither torch nor numpy.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancli.domains import Inputs
from gancli.errors import GancliError, nearest, some
from gancli.files import parse_json
from gancli.home import home
from gancli.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gancli.architectures.base import Architecture
    from gancli.schema import RunConfig

FORMAT = 2
"""Format 1, of version 0.1, described images only: ``images`` with channels, height and width by domain."""
SUFFIX = ".safetensors"
IN_RUN = f"model{SUFFIX}"
LARGEST_HEADER = 100 * 2**20


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself. A file may lack what has a default here, and may say more.

    Attributes:
        format: version of this layout.
        architecture: name in the registry.
        config: the resolved configuration as plain values; ``config["model"]`` rebuilds the networks.
        networks: networks whose weights are inside; an imported generator comes without its discriminator.
        domains: the user's names of the domains, in the architecture's order; ``["image"]`` if there is one.
        inputs: what the model is trained on; its ``domains`` are keyed by the user's names.
        classes: names of the classes, in the order of the labels.
        step, images_shown: how long it was trained.
        training: the means of losses and scores at the last line of the log, by name.
        grown_to: height and width in pixels that networks which grow have reached; they repeat pixels up to the size of
            the images.
        origin: for imported models, the file's name.
        gancli: version that wrote it.
    """

    architecture: str
    config: dict[str, Any]
    networks: list[str]
    domains: list[str]
    inputs: Inputs
    classes: list[str] = field(default_factory=list)
    step: int = 0
    images_shown: int = 0
    training: dict[str, float] = field(default_factory=dict)
    grown_to: int | None = None
    origin: str = ""
    format: int = FORMAT
    gancli: str = __version__


def describe(
    name: str, config: RunConfig, *, networks: list[str], inputs: Inputs, classes: Iterable[str] = (), **others: Any
) -> ModelInfo:
    """Builds the description of a model, without the folders of its maker's files.

    Args:
        name: the architecture's.
        config: resolved.
        networks, inputs, classes, others: attributes of ``ModelInfo``.
    """
    values = config.to_dict()
    for section, key in (("data", "source"), ("train", "init_from")):
        if (given := values[section][key]) is not None:
            # "./shapes" for a folder of that name: "shapes" alone would be the built-in data.
            last = Path(given).name
            values[section][key] = last if last == given else f"./{last}"
    return ModelInfo(name, values, networks, list(inputs.domains), inputs, list(classes), **others)


def to_bytes(info: ModelInfo, tensors: Mapping[str, Tensor]) -> bytes:
    """Returns the file's content; equal models give equal bytes."""
    import safetensors.torch

    text = json.dumps(asdict(info), sort_keys=True, ensure_ascii=False)
    return safetensors.torch.save(
        {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())},
        # JSON cannot hold names of folders and files that are not Unicode.
        metadata={"gancli": text.encode(errors="replace").decode()},
    )


def read_info(path: Path) -> ModelInfo:
    """Reads what a model file says of itself, without its weights.

    Raises:
        GancliError: the file cannot be read, is not a model file of gancli, is cut off, or is of a newer version.
    """
    from pydantic import TypeAdapter

    foreign = GancliError(
        f"{path} is not a model file of gancli", "checkpoints of other programs come in with `gancli import`"
    )
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= LARGEST_HEADER:
                raise foreign
            header = parse_json(file.read(length))
            held = file.seek(0, 2)
        values = parse_json(header.pop("__metadata__")["gancli"])
        needed = 8 + length + max(tensor["data_offsets"][1] for tensor in header.values())
        if values["format"] > FORMAT:
            raise GancliError(
                f"{path} was written by gancli {values.get('gancli')}, which is newer than this ({__version__})",
                "pip install --upgrade gancli",
            )
        if held < needed:
            cut = f"{path} is damaged: it is cut off after {held:,} of {needed:,} bytes"
            raise GancliError(cut, "train or import the model again")
        if values["format"] == 1:
            values = _from_format_1(values)
        # From text again: in JSON a list may stand for a tuple.
        info = TypeAdapter(ModelInfo).validate_json(json.dumps(values), strict=True)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise foreign from error
    if not isinstance(info.config.get("model"), dict) or info.inputs.domains.keys() != set(info.domains):
        raise foreign
    domains = {name: info.inputs.domains[name] for name in info.domains}  # JSON's objects are in alphabetical order
    return replace(info, inputs=replace(info.inputs, domains=domains))


def _from_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a file of format 1 as format 2 has them."""
    images, classes = values["images"], values.get("classes", [])
    domains = {name: {"shape": [size["channels"], size["height"], size["width"]]} for name, size in images.items()}
    inputs = {"domains": domains, "labels": "class" if classes else "none", "classes": len(classes) or None}
    kept = {key: value for key, value in values.items() if key != "images"}
    return {**kept, "inputs": inputs, "format": FORMAT}


def load_tensors(path: Path, networks: Collection[str] | None = None) -> dict[str, Tensor]:
    """Reads the tensors of a model file, or of some of its networks.

    Raises:
        GancliError: the file is damaged.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if networks is None or name.partition(".")[0] in networks]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (OSError, safetensors.SafetensorError) as error:
        raise GancliError(f"{path} is damaged: {error}", "train or import the model again") from error


def load_model(path: Path, device: torch.device, *, whole: bool = True) -> tuple[Architecture, ModelInfo]:
    """Builds a model from its file alone, in evaluation mode on ``device``, without the networks it does not hold.

    Args:
        whole: False: leave out what sampling does not use, such as discriminators.

    Raises:
        GancliError: the file is not a model file, is damaged, or its weights do not fit its configuration or are not
            finite.
    """
    import torch

    from gancli.config import validate_model
    from gancli.nn.init import without_weights
    from gancli.registry import load_architecture
    from gancli.weights import fitted, mismatches

    info = read_info(path)
    try:
        kind, config = load_architecture(info.architecture), validate_model(info.architecture, info.config["model"])
    except GancliError as error:
        raise GancliError(f"{path}: {error.message}", "train or import the model again") from error

    networks = [name for name in info.networks if whole or name in kind.averaged]
    if list(info.inputs.domains.values()) != list(kind.inputs(config).domains.values()):
        raise GancliError(f"the sizes of images in {path} do not fit its configuration")

    def build() -> Architecture:
        model = kind(config)
        for name in [name for name, _ in model.named_children() if name not in networks]:
            delattr(model, name)
        return model

    with without_weights():
        model = build()
    if not networks or len(list(model.children())) < len(networks):
        raise GancliError(f"{path} lacks the networks of a {info.architecture}", "train or import the model again")
    own, tensors = model.state_dict(), load_tensors(path, networks)
    if wrong := mismatches(own, tensors, whole=True):
        raise GancliError(f"the weights in {path} do not fit its configuration:\n{wrong}")
    tensors = fitted(tensors, own, str(path))
    model.load_state_dict(tensors, assign=True)
    held = (value for module in model.modules() for value in (*module.__dict__.values(), *module.buffers()))
    if any(isinstance(value, torch.Tensor) and value.is_meta for value in held):
        model = build()  # it has tensors that no file holds
        model.load_state_dict(tensors, assign=True)
    if not info.origin:  # what was imported is fully grown
        model.stage = model.stage_at(info.images_shown)
    return model.to(device).eval().requires_grad_(False), info


def model_directories() -> list[Path]:
    """Returns where names of models are looked up, in this order: ``./runs``, then ``$GANCLI_HOME/models``."""
    return [Path("runs"), home() / "models"]


def known_models() -> dict[str, Path]:
    """Returns the model files that can be called by a name; the first directory wins."""
    found: dict[str, Path] = {}
    for directory in filter(Path.is_dir, model_directories()):
        for path in sorted(directory.iterdir()):
            if path.name.startswith("."):
                continue
            if (path / IN_RUN).is_file():
                found.setdefault(path.name, path / IN_RUN)
            elif path.suffix == SUFFIX and path.is_file():
                found.setdefault(path.stem, path)
    return found


def title(path: Path) -> str:
    """Returns what a model file is called: like its run, or by its own name."""
    return path.resolve().parent.name if path.name == IN_RUN else path.stem


def find_model(model: str) -> Path:
    """Returns the model file that MODEL means: a file, a run or checkpoint directory, or a name.

    Raises:
        GancliError: there is none; the message says what there is instead.
    """
    names = known_models()
    try:
        path = Path(model)
        if path.is_file():
            return path
        if (path / IN_RUN).is_file():
            return path / IN_RUN
        model = model.rstrip("/")
        if model in names:
            return names[model]
        # A folder of images may have the name of a run, but only a run has a configuration.
        for run in (path, Path("runs") / model):
            if (run / "config.yaml").is_file():
                early = f"the run {run} has no model yet: it has not reached its first checkpoint"
                raise GancliError(early, f"gancli resume {run}")
        if path.is_dir():
            raise GancliError(f"there is no {IN_RUN} in {model}", "give a run directory, a model file or a name")
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise GancliError(f"there is no model {model!r}: {error.strerror}") from error
    places = " and ".join(str(directory) for directory in model_directories())
    text = f"there is no model {model!r}"
    if not names:
        hint = "gancli train dcgan-shapes --data shapes --name my-first"
        raise GancliError(f"{text}, and none at all in {places}", hint)
    raise GancliError(text, nearest(model, names) or f"in {places} are: {some(names)}")
