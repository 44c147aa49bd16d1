"""Networks that turn images into features, and their weights.

Weights are looked up in ``$GANCLI_HOME/features``, then in torch's folder of downloads; else they are downloaded into
the former. No code in checkpoints is run, see ``gancli.checkpoints``; for files that are programs, see
``gancli.metrics.trust``.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.checkpoints import read_checkpoint
from gancli.errors import GancliError, RunError, nearest
from gancli.home import home
from gancli.metrics.trust import MADE, read_program

TORCHVISION = "torchvision:"
OFFLINE = (URLError, TimeoutError, ConnectionError, RuntimeError)
AT_A_TIME = 4
"""Images that go through a network together on a CPU; with more, activations do not fit into its cache."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that its authors distribute: its address, and the SHA-256 of its content."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


TORCH_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"
INCEPTION = Weights(
    f"{TORCH_FIDELITY}/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
VGG16 = Weights(
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
LPIPS = Weights(
    f"{TORCH_FIDELITY}/weights-vgg16-lpips.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)
CLIP = Weights(
    "https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
)
DINOV2 = Weights(
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
)


class Features(NamedTuple):
    """The output of a network for N images.

    Attributes:
        values: float32 [N, D].
        logits: float32 [N, K] of the classes that it was trained on, or None.
    """

    values: Tensor
    logits: Tensor | None = None

    @property
    def scores(self) -> Tensor:
        """What a classifier returns: its logits, or ``values`` if it returns them alone."""
        return self.values if self.logits is None else self.logits


@dataclass(frozen=True)
class Extractor:
    """A network that extracts features, and what a report says about it.

    Attributes:
        name: as in ``--features``.
        network: uint8 [N, 3, H, W] on its device -> ``Features``.
        preprocessing: how it prepares the images, in words.
        weights: SHA-256 by name of the files that it was loaded from.
    """

    name: str
    network: Callable[[Tensor], Features]
    preprocessing: str
    weights: dict[str, str]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """Returns features, on the CPU, of images uint8 [N, 3, H, W] on the extractor's device.

        Raises:
            RunError: they are not finite.
        """
        pieces = images.split(AT_A_TIME if images.device.type == "cpu" else len(images))
        said = [self.network(piece) for piece in pieces]
        values = torch.cat([each.values.float().cpu() for each in said])
        known = [each.logits.float().cpu() for each in said if each.logits is not None]
        found = Features(values, torch.cat(known) if known else None)
        if not (values.isfinite().all() and found.scores.isfinite().all()):
            raise RunError(f"features of {self.name} are not finite", "check that its file of weights is the right one")
        return found

    @property
    def key(self) -> str:
        """Identifies the features, for names of cached statistics."""
        return f"{self.name} {self.preprocessing} {sorted(self.weights.items())}"


NETWORKS = {
    "inception": ("inception-v3-compat", ["2048", "logits_unbiased"], 299, INCEPTION),
    "vgg16": ("vgg16", ["fc2_relu"], 224, VGG16),
    "clip": ("clip-vit-b-32", ["clip"], 224, CLIP),
    "dinov2": ("dinov2-vit-l-14", ["dinov2"], 224, DINOV2),
}
"""Extractors of torch-fidelity that ``--features`` knows, with their names there, layers, input sizes and weights."""


def load_extractor(
    name: str, device: torch.device, weights: Path | None = None, option: str = "--features"
) -> Extractor:
    """Loads the network that an ``option`` names.

    Args:
        name: a key of ``NETWORKS``, ``torchvision:NAME``, or the path of a TorchScript or ``torch.export`` file that
            the user trusts; it takes images uint8 [N, 3, H, W] and returns features [N, D], or features and logits
            [N, K].
        weights: a file of its weights, instead of its authors'.
        option: for errors.

    Raises:
        GancliError: there is no such network or file, its weights are missing and cannot be downloaded, or it is a
            program that the user has not allowed to run.
    """
    if name in NETWORKS:
        return _of_torch_fidelity(name, device, weights)
    if name.startswith(TORCHVISION):
        return _of_torchvision(name.removeprefix(TORCHVISION), device, weights, option)
    path = Path(name)
    if not path.is_file():
        known = f"choose {', '.join(NETWORKS)}, torchvision:NAME, or a TorchScript or torch.export file"
        raise GancliError(f"{option} {name}: there is no such network or file", nearest(name, NETWORKS) or known)
    if weights is not None:
        raise GancliError(f"--weights {weights}: {name} holds its own weights", "leave --weights out")
    content = read_program(path)
    digest = hashlib.sha256(content).hexdigest()
    return Extractor(path.name, load_module(path, content, device), "its own, of uint8", {path.name: digest})


def load_module(path: Path, content: bytes, device: torch.device) -> Callable[[Tensor], Features]:
    """Loads a TorchScript or ``torch.export`` file that returns features; raises ``GancliError`` if it is neither.

    Args:
        path: the file.
        content: what ``read_program`` returned; the file itself may have changed since.
        device: where it computes.
    """
    module: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if path.suffix == ".pt2":
                module = torch.export.load(io.BytesIO(content)).module().to(device)
            else:
                module = torch.jit.load(io.BytesIO(content), map_location=device).eval()
        except Exception as error:
            raise GancliError(
                f"{path} is not a TorchScript or torch.export file: {str(error).strip().splitlines()[0]}",
                MADE,
            ) from error

    def network(images: Tensor) -> Features:
        try:
            said = module(images)
        except Exception as error:
            what = str(error).strip().splitlines()[-1]
            raise GancliError(
                f"{path} cannot take images uint8 {list(images.shape)}: {what}",
                "it must take uint8 [N, 3, H, W] of any N, H and W",
            ) from error
        values, logits = said if isinstance(said, tuple) and len(said) == 2 else (said, None)
        found = Features(values, logits)
        for value in (found.values, found.scores):
            if not isinstance(value, Tensor) or value.ndim != 2 or len(value) != len(images):
                raise GancliError(
                    f"{path} returns no features [N, D] of images {list(images.shape)}",
                    "it must return features [N, D], or features and logits [N, K]",
                )
        return found

    return network


def find_weights(wanted: Weights, what: str) -> Path:
    """Returns the path of a distributed file of weights for ``what``; downloads it if necessary.

    Raises:
        GancliError: it is missing and cannot be downloaded.
    """
    place = home() / "features" / wanted.file
    for path in (place, Path(torch.hub.get_dir()) / "checkpoints" / wanted.file):
        if path.is_file():
            return path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # This writes aside, and renames if the SHA-256 is right.
        torch.hub.download_url_to_file(wanted.url, str(place), hash_prefix=wanted.sha256, progress=False)
    except OFFLINE as error:
        hint = f"get {wanted.url}\nand put it at {place}; or --features torchvision:NAME --weights FILE"
        raise _missing(f"the weights of {what}", wanted, error, hint) from error
    return place


def _missing(what: str, weights: Weights, error: Exception, hint: str) -> GancliError:
    why = f"are missing and cannot be downloaded ({getattr(error, 'reason', error)})"
    return GancliError(f"{what} {why}: {weights.file}, SHA-256 {weights.sha256}", hint)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a checkpoint of weights without running code in it; raises ``GancliError`` if it is something else."""
    try:
        state, _ = read_checkpoint(path)
    except OSError as error:
        raise GancliError(f"--weights {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise GancliError(f"{path} is not a checkpoint that can be read without running code in it") from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise GancliError(f"{path} does not hold the tensors of a network")
    return state


def _of_torch_fidelity(name: str, device: torch.device, weights: Path | None) -> Extractor:
    from torch_fidelity.utils import create_feature_extractor

    registered, layers, size, wanted = NETWORKS[name]

    def create(path: Path, **options: Any) -> Extractor:
        made = create_feature_extractor(registered, layers, cuda=False, verbose=False, **options).to(device)
        how = f"bilinear to {size}x{size} as TensorFlow 1 has it"
        return Extractor(name, lambda images: Features(*made(images)), how, {path.name: sha256(path)})

    if name == "dinov2":
        if weights is not None:
            raise GancliError(f"--weights {weights}: dinov2 finds its weights itself", "leave --weights out")
        hub = Path(torch.hub.get_dir())
        place = hub / "checkpoints" / wanted.file
        if place.exists() and sha256(place) != wanted.sha256:  # torch.hub would unpickle it
            raise GancliError(f"{place} is not the weights of dinov2: it has another SHA-256", f"get {wanted.url}")
        try:
            return create(place)
        except OFFLINE as error:
            hint = (
                f"put facebookresearch/dinov2 of GitHub at {hub / 'facebookresearch_dinov2_main'}, get {wanted.url}\n"
                f"and put it at {place}"
            )
            raise _missing("the code and weights of dinov2", wanted, error, hint) from error

    path = weights or find_weights(wanted, f"the features {name}")
    source: Path | io.BytesIO = path
    if name == "clip":
        source = io.BytesIO(read_program(path, wanted.sha256))  # torch-fidelity reads it as TorchScript
    else:
        # torch-fidelity would unpickle the file, so it gets a copy of the tensors alone.
        source = io.BytesIO()
        torch.save(read_state(path), source)
        source.seek(0)
    with _naming(path, name):
        return create(path, feature_extractor_weights_path=source)


@contextmanager
def _naming(path: Path, network: str) -> Iterator[None]:
    """Turns the error of weights that do not fit into one that names their file."""
    try:
        yield
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise GancliError(f"{path} does not hold the weights of {network}: {what}") from error


def _penultimate(classifier: nn.Module) -> Callable[[Tensor], Features]:
    """Returns the input of the last layer of a torchvision classifier as features, and its output as logits."""
    linear = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    # SqueezeNet classifies by a convolution.
    last = linear[-1] if linear else [m for m in classifier.modules() if isinstance(m, nn.Conv2d)][-1]
    seen: list[Tensor] = []
    last.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))

    def network(x: Tensor) -> Features:
        logits = classifier(x)
        values = seen.pop()
        return Features(values if values.ndim == 2 else values.mean(dim=(2, 3)), logits)

    return network


def _of_torchvision(name: str, device: torch.device, weights: Path | None, option: str) -> Extractor:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        hint = nearest(name, known) or f"give one of its names, such as {TORCHVISION}resnet50"
        raise GancliError(f"{option} {TORCHVISION}{name}: torchvision has no such classifier", hint)
    distributed = models.get_model_weights(name).DEFAULT
    if weights is None:
        start_of_hash = distributed.url.rpartition("-")[2].partition(".")[0]
        weights = find_weights(Weights(distributed.url, start_of_hash), name)
    state = read_state(weights)
    # The published weights of these two need another normalisation, which they apply themselves.
    own = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    classifier = models.get_model(name, weights=None, **own)
    convolutions = getattr(classifier, "features", None)
    network: Callable[[Tensor], Features]
    if convolutions is not None and state.keys() == convolutions.state_dict().keys():
        loaded, network = convolutions, lambda x: Features(convolutions(x).mean(dim=(2, 3)))
    else:
        loaded, network = classifier, _penultimate(classifier)
    with _naming(weights, name):
        loaded.load_state_dict(state)
    loaded.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    how = distributed.transforms()
    (size,) = how.crop_size
    mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (how.mean, how.std))

    def prepared(images: Tensor) -> Features:
        x = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
        return network(((x / 255 - mean) / std).contiguous(memory_format=torch.channels_last))

    words = f"bilinear to {size}x{size}, antialiased, as ImageNet"
    return Extractor(f"{TORCHVISION}{name}", prepared, words, {weights.name: sha256(weights)})
