"""Runs TensorFlow 1 code of Karras et al. under TensorFlow 2: ``python tensorflow1.py CHECKOUT INPUTS OUTPUTS``.

A script of its own, since the Python that has TensorFlow need not have torch or gancli; ``growing.py`` starts it.
INPUTS and OUTPUTS are .npz files.

The networks, losses, optimizers, and what is done to the reals, are theirs. Three things are not as in 2018:

- their files are copied with ``float64`` for ``float32``, and ``tensorflow`` is ``tensorflow.compat.v1``;
- convolutions and blurs, which only a GPU has in the layout NCHW, change to NHWC and back;
- random numbers are placeholders, which INPUTS fills in the order in which the graph draws them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

Arrays = dict[str, np.ndarray]


def copy_as_double(checkout: Path, folder: Path) -> None:
    """Copies the Python files of a checkout, with double precision in the place of single."""
    for file in checkout.rglob("*.py"):
        copy = folder / file.relative_to(checkout)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text(encoding="utf-8-sig").replace("float32", "float64"), encoding="utf-8")


def nhwc(layer: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a layer of tf.nn that is called for NCHW."""

    def turned(numbers: Any) -> list[Any]:
        return [numbers[0], numbers[2], numbers[3], numbers[1]]

    @functools.wraps(layer)
    def wrapped(x: Any, *arguments: Any, data_format: str, **named: Any) -> Any:
        assert data_format == "NCHW"
        named.update({name: turned(named[name]) for name in ("ksize", "strides") if name in named})
        if len(arguments) == 2:  # a transposed convolution's filter and output shape
            arguments = (arguments[0], turned(arguments[1]))
        result = layer(tf.transpose(x, [0, 2, 3, 1]), *arguments, data_format="NHWC", **named)
        return tf.transpose(result, [0, 3, 1, 2])

    return wrapped


class Draws:
    """Placeholders in the place of random numbers: the k-th of a kind in a loss is ``player/kind/k``."""

    def __init__(self) -> None:
        self.player = ""
        self.placeholders: dict[str, Any] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, kind: str, shape: Any, dtype: Any) -> Any:
        name = f"{self.player}/{kind}/{self.counts[self.player, kind]}"
        self.counts[self.player, kind] += 1
        static = None
        if isinstance(shape, (list, tuple)):
            static = [getattr(size, "value", size) for size in shape]
            static = [None if isinstance(size, tf.Tensor) else size for size in static]
        with tf.control_dependencies(None):  # outside of any branch of tf.cond, so that it can be fed
            self.placeholders[name] = tf.placeholder(dtype, static)
        return self.placeholders[name]

    def normal(self, shape: Any, *_: Any, dtype: Any = tf.float64, **__: Any) -> Any:
        return self("normal", shape, dtype)

    def uniform(self, shape: Any, *_: Any, dtype: Any = tf.float64, **__: Any) -> Any:
        return self("uniform", shape, dtype)


class TrainingSet:
    """What the losses want to know of the data: their labels."""

    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def get_random_labels_tf(self, minibatch_size: int) -> Any:
        """Returns the labels of G's fakes: those of the batch, as in gancli; theirs are others of the data."""
        return self.labels


def function_of(file: Path, name: str, known: dict[str, Any]) -> Callable[..., Any]:
    """Returns one function of a script whose other imports are not needed."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            exec(compile(ast.Module([node], []), file, "exec"), known)
    return known[name]


def play(folder: Path, spec: dict[str, Any], inputs: Arrays) -> Arrays:
    """Builds the graph as their training loops do, plays D and G in turns, and returns the numbers."""
    scores: dict[str, Any] = {}

    def autosummary(name: str, value: Any) -> Any:
        scores[name] = value
        return value

    if spec["architecture"] == "stylegan":
        sys.modules["dnnlib.tflib.autosummary"] = ModuleType("dnnlib.tflib.autosummary")
        sys.modules["dnnlib.tflib.autosummary"].autosummary = autosummary
        tools, training, loop = importlib.import_module("dnnlib.tflib"), folder / "training", "training_loop.py"
    else:
        tools, training, loop = importlib.import_module("tfutil"), folder, "train.py"
        tools.autosummary = autosummary
    tools.init_tf()
    misc = SimpleNamespace(adjust_dynamic_range=function_of(training / "misc.py", "adjust_dynamic_range", {"np": np}))
    process_reals = function_of(
        training / loop, "process_reals", {"tf": tf, "tflib": tools, "tfutil": tools, "misc": misc}
    )
    losses = importlib.import_module(spec["losses"])
    networks = {player: tools.Network(player, **spec[player]["network"]) for player in "GD"}
    variables = {
        player: {name: network.find_var(name) for name in spec[player]["variables"]}
        for player, network in networks.items()
    }
    for player, named in variables.items():
        tools.set_vars({variable: inputs[f"{player}/{name}"] for name, variable in named.items()})

    draws = Draws()
    tf.random_normal, tf.random_uniform = draws.normal, draws.uniform
    lod, rate, epsilon = (tf.placeholder(tf.float64, []) for _ in range(3))
    small, images = (tf.placeholder(tf.float64, [None, None, None, None]) for _ in range(2))  # of a stage, of full size
    latents = tf.placeholder(tf.float64, [None, None])
    labels = tf.constant(inputs["labels"])
    assign = [tf.assign(network.find_var("lod"), lod) for network in networks.values()]
    reals = process_reals(small, lod, False, [-1, 1], [-1, 1])
    given = networks | {"training_set": TrainingSet(labels), "minibatch_size": len(inputs["labels"])}
    totals, moves = {}, {}
    betas = {"beta1": np.float64(0), "beta2": np.float64(0.99)}  # of Python's floats, Adam makes float32
    for player, data in (("G", {}), ("D", {"reals": reals, "labels": labels})):
        draws.player = player
        optimizer = tools.Optimizer(f"Train{player}", learning_rate=rate, epsilon=epsilon, **betas)
        with tf.control_dependencies(assign):
            totals[player] = tf.reduce_mean(getattr(losses, spec[player]["loss"])(opt=optimizer, **given, **data))
        optimizer.register_gradients(totals[player], networks[player].trainables)
        moves[player] = optimizer.apply_updates()
    means = {name: tf.reduce_mean(value) for name, value in scores.items() if name.startswith("Loss/")}
    with tf.control_dependencies(assign):
        made = networks["G"].get_output_for(latents, labels, **spec["sampling"])
        inputs_of_d = [images, labels][: len(networks["D"].input_shapes)]
        judged = networks["D"].get_output_for(*inputs_of_d, return_as_list=True)

    run = tf.get_default_session().run
    results: Arrays = {}
    for name, level in spec["stages"].items():
        feed = {lod: level, latents: inputs["latents"], images: inputs[f"images/{name}"]}
        results[f"G/{name}"], outputs = run([made, judged], feed)
        results[f"D/{name}"] = np.concatenate(outputs, axis=1)
    for step in range(spec["steps"]):
        feed = {lod: spec["lod"], small: inputs[f"reals/{step}"], rate: 1e-3, epsilon: spec["epsilons"][step]}
        for player in "DG":
            drawn = {
                placeholder: inputs[f"draws/{step}/{name}"]
                for name, placeholder in draws.placeholders.items()
                if name.startswith(player)
            }
            wanted = {"total": totals[player], "move": moves[player], "means": means if player == "D" else {}}
            found = run(wanted, feed | drawn)
            results[f"{step}/loss/{player}"] = found["total"]
            results |= {f"{step}/{name}": value for name, value in found["means"].items()}
        for player, named in variables.items():
            results |= {f"{step}/{player}/{name}": value for name, value in run(named).items()}
    return results


def main(checkout: Path, given: Path, wanted: Path) -> None:
    """Reads the inputs, plays, and writes the outputs."""
    tf.disable_v2_behavior()
    sys.modules["tensorflow"] = tf
    get_variable = tf.get_variable

    def double(name: str, shape: Any = None, **named: Any) -> Any:
        # One of StyleGAN's sizes is True.
        return get_variable(name, None if shape is None else [int(size) for size in shape], tf.float64, **named)

    tf.get_variable = double
    for name in ("conv2d", "conv2d_transpose", "depthwise_conv2d", "avg_pool"):
        setattr(tf.nn, name, nhwc(getattr(tf.nn, name)))
    with np.load(given) as file:
        inputs = dict(file)
    with tempfile.TemporaryDirectory() as folder:
        copy_as_double(checkout, Path(folder))
        sys.path.insert(0, folder)
        np.savez(wanted, **play(Path(folder), json.loads(str(inputs.pop("spec"))), inputs))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
