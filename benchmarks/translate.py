"""How fast is ``gancli translate`` compared with the network alone? ``python benchmarks/translate.py --data DATA``

The command reads, translates and writes the 50 horses in DATA, as a user would run it, except that the model and torch
are loaded once beforehand. The bare network, a copy of the same one, gets the same images one at a time as tensors in
memory, and its results are discarded. Both alternate in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
from pathlib import Path
from typing import cast
from unittest import mock

import numpy as np
import torch
from PIL import Image
from step import seconds

from gancli import config as configuration
from gancli import modelfile
from gancli.architectures.base import Translator
from gancli.cli.translate import translate
from gancli.registry import load_architecture
from gancli.training.update import network_names

CPU = torch.device("cpu")


def write_model(path: Path, preset: str, sets: list[str]) -> None:
    """Writes a model file of a preset with random weights, which take as long as trained ones."""
    config = configuration.resolve(preset, sets=sets)
    torch.manual_seed(0)
    model = load_architecture(config.architecture)(config.model)
    networks = network_names(model)
    info = modelfile.describe(config.architecture, config, networks=networks, inputs=model.inputs(config.model))
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in networks}
    path.write_bytes(modelfile.to_bytes(info, tensors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the directory that holds horses/")
    parser.add_argument("--preset", default="cyclegan")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="A.B=V")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    files = sorted((arguments.data / "horses").glob("*.png"))
    pixels = [np.array(Image.open(file).convert("RGB")) for file in files]
    ready = [torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float().div(127.5).sub(1) for image in pixels]
    with tempfile.TemporaryDirectory() as temporary, mock.patch("gancli.cli.translate.load_model") as load:
        path, results = Path(temporary, "model.safetensors"), Path(temporary, "results")
        write_model(path, arguments.preset, arguments.sets)
        bare = cast(Translator, modelfile.load_model(path, CPU)[0])
        way = bare.ways()[-1]
        load.return_value = modelfile.load_model(path, CPU)

        @torch.inference_mode()
        def network() -> None:
            for image in ready:
                bare.translate(image, way)

        def command() -> None:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                translate(
                    str(path), [str(arguments.data / "horses")], output=str(results), device="cpu", overwrite=True
                )
            written = printed.getvalue().splitlines()
            assert len(written) == len(files), f"{len(written)} of {len(files)} images were written"

        for side in (network, command):  # warm
            side()
        rounds = [(seconds(network, 1), seconds(command, 1)) for _ in range(arguments.rounds)]
    wall, processor = (statistics.median(b[i] / a[i] for a, b in rounds) for i in (0, 1))
    speeds = [len(files) / statistics.median(side[0] for side in column) for column in zip(*rounds, strict=True)]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.preset} {' '.join(arguments.sets)}"
    )
    print(f"{len(files)} images: the network alone {speeds[0]:.2f} images/s, gancli translate {speeds[1]:.2f} images/s")
    print(
        f"gancli's speed is {1 / wall:.3f} of the network's, its processor time {processor:.3f} "
        f"(medians of {arguments.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
