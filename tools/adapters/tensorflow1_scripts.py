"""Runs TensorFlow 1 scripts of Python 2 under TensorFlow 2: ``python tensorflow1_scripts.py CHECKOUT INPUTS OUTPUTS``.

A script of its own, as ``tensorflow1.py`` is; ``scripts.py`` starts it. The official script trains as soon as it is
run, with its own graph and loop. These things are not as in 2017:

- files are copied with ``float64`` for ``float32``, the sizes of the game, and the spelling of Python 3;
- convolutions in the layout NCHW change to NHWC and back, and batch norms are composed of simpler operations;
- random numbers are placeholders; whenever the script runs a training operation, INPUTS fills those of that turn;
- Adam's epsilon is a placeholder, and its rates are in double precision;
- modules that read data, draw pictures or measure do nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from lib2to3.refactor import RefactoringTool
from math import sqrt
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags
from tensorflow1 import Arrays, Draws, nhwc

EPSILON = 1e-8
PYTHON_2 = RefactoringTool([f"lib2to3.fixes.fix_{name}" for name in ("print", "xrange", "next")])
WHOLE = re.compile(r"(BATCH_SIZE|len\(DEVICES\)) ?/ ?(?=len\(|2\b|N_GPUS)")
"""Divisions of whole numbers."""
UNUSED = (
    "scipy scipy.misc sklearn sklearn.datasets tflib.cifar10 tflib.inception_score tflib.plot tflib.save_images "
    "tflib.small_imagenet lsun"
)


class Finished(Exception):
    """All turns are played."""


class Adam(tf.train.AdamOptimizer):
    """Adam in double precision; the first one that a script makes is G's, the second D's."""

    made: dict[str, Adam] = {}  # noqa: RUF012

    def __init__(self, learning_rate: Any, beta1: float = 0.9, beta2: float = 0.999) -> None:
        rate = learning_rate if tf.is_tensor(learning_rate) else np.float64(learning_rate)
        self.second, self.steps, self.fed = beta2, 0, tf.placeholder(tf.float64, [])
        super().__init__(rate, np.float64(beta1), np.float64(beta2), self.fed)
        Adam.made["D" if Adam.made else "G"] = self


class Session(tf.Session):
    """Plays a turn whenever a training operation is run; the first operation of all sets the variables."""

    spec: dict[str, Any]
    inputs: Arrays
    results: Arrays = {}  # noqa: RUF012
    draws: Draws
    script: dict[str, Any]
    turn = -1

    def run(self, fetches: Any, feed_dict: Any = None, **_: Any) -> Any:
        listed = fetches if isinstance(fetches, list) else [fetches]
        if not any(isinstance(fetch, tf.Operation) for fetch in listed):
            return super().run(fetches, feed_dict)
        if self.turn < 0:
            super().run(fetches, feed_dict)
            self.begin()
        elif self.turn == len(self.spec["turns"]):
            raise Finished
        else:
            self.play(fetches, dict(feed_dict or {}))
        self.turn += 1
        return [0.0] * len(listed)

    def begin(self) -> None:
        for name, variable in variables().items():
            if f"weights/{name}" in self.inputs:
                set_variable = variable.initializer
                super().run(set_variable, {set_variable.inputs[1]: self.inputs[f"weights/{name}"]})
        latents = tf.constant(self.inputs["latents"])
        made = self.spec["outputs"]["G"].format("latents")
        known = {**self.script, "latents": latents, "images": tf.constant(self.inputs["images"])}
        known |= {name: sys.modules[name] for name in ("vgg",) if name in sys.modules}
        self.results["G"] = super().run(eval(made, known))
        if "D" in self.spec["outputs"]:
            self.results["D"] = super().run(eval(self.spec["outputs"]["D"], known))

    def play(self, fetches: Any, feed: dict[Any, Any]) -> None:
        turn = self.spec["turns"][self.turn]
        feed = {name: self.inputs.get(f"{self.turn}/given", value) for name, value in feed.items()}
        feed |= {
            placeholder: self.inputs[f"{self.turn}/{name}"]
            for name, placeholder in self.draws.placeholders.items()
            if f"{self.turn}/{name}" in self.inputs
        }
        Adam.made[turn["player"]].steps += 1
        for adam in Adam.made.values():  # as torch's: epsilon is added after the correction of the bias
            feed[adam.fed] = self.spec["epsilon"] * sqrt(1 - adam.second ** max(1, adam.steps))
        wanted = {"fetched": fetches, **{name: self.script[name] for name in turn["wanted"]}}
        found = super().run(wanted, feed)
        if not turn["wanted"]:
            found["cost"] = found["fetched"][1]
        self.results |= {f"{self.turn}/{name}": value for name, value in found.items() if name != "fetched"}
        for name, value in super().run(variables()).items():
            self.results[f"{self.turn}/{name}"] = value


def variables() -> dict[str, Any]:
    """Returns the variables of the script by name."""
    if "tflib" in sys.modules:
        return dict(sys.modules["tflib"]._params)
    return {variable.op.name: variable for variable in tf.global_variables()}


def batch_norm(x: Any, decay: float, epsilon: float, is_training: bool, scope: str, **_: Any) -> Any:
    """``tf.contrib.layers.batch_norm`` of NHWC as it was: the variance of the moving average is the biased one."""
    with tf.variable_scope(scope):
        size, zero, one = [x.shape[-1]], tf.zeros_initializer(), tf.ones_initializer()
        beta, gamma = tf.get_variable("beta", size, None, zero), tf.get_variable("gamma", size, None, one)
        moving = [tf.get_variable("moving_mean", size, None, zero, trainable=False)]
        moving.append(tf.get_variable("moving_variance", size, None, one, trainable=False))
    if not is_training:
        return tf.nn.batch_normalization(x, *moving, beta, gamma, epsilon)
    now = tf.nn.moments(x, [0, 1, 2])
    with tf.control_dependencies([tf.assign(m, m * decay + n * (1 - decay)) for m, n in zip(moving, now, strict=True)]):
        return tf.nn.batch_normalization(x, *now, beta, gamma, epsilon)


def moments(x: Any, axes: Any, keep_dims: bool = False) -> Any:
    """``tf.nn.moments`` with second derivatives: today's holds the mean constant in the variance."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keep_dims)
    return mean if keep_dims else tf.squeeze(mean, axes), variance


def fused_batch_norm(x: Any, scale: Any, offset: Any, epsilon: float, data_format: str) -> Any:
    """``tf.nn.fused_batch_norm`` of NCHW."""
    assert data_format == "NCHW"
    mean, variance = tf.nn.moments(x, [0, 2, 3], keep_dims=True)
    scale, offset = (tf.reshape(tensor, [1, -1, 1, 1]) for tensor in (scale, offset))
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, epsilon), mean, variance


def prepare(draws: Draws) -> None:
    """Changes TensorFlow as the first lines of this file say."""
    tf.disable_v2_behavior()
    tf.enable_resource_variables()  # others may be updated while gradients are still computed from them
    sys.modules["tensorflow"] = tf
    tf.__version__ = "1.15"
    get_variable, placeholder, conv2d, bias_add = tf.get_variable, tf.placeholder, tf.nn.conv2d, tf.nn.bias_add

    def double(name: str, shape: Any, dtype: Any = None, initializer: Any = None, **named: Any) -> Any:
        return get_variable(name, shape, tf.float64, initializer, **named)

    def images(dtype: Any, shape: Any = None) -> Any:
        return placeholder(tf.float64 if shape and len(shape) > 1 else dtype, shape)  # whose bytes are fractions here

    def convolve(input: Any, filter: Any, strides: Any, padding: str, data_format: str = "NHWC") -> Any:
        layer = nhwc(conv2d) if data_format == "NCHW" else conv2d
        return layer(input, filter, strides=strides, padding=padding, data_format=data_format)

    def add(x: Any, bias: Any, data_format: str = "NHWC") -> Any:
        return x + tf.reshape(bias, [1, -1, 1, 1]) if data_format == "NCHW" else bias_add(x, bias)

    tf.get_variable, tf.placeholder, tf.nn.conv2d, tf.nn.bias_add = double, images, convolve, add
    tf.nn.fused_batch_norm, tf.nn.moments = fused_batch_norm, moments
    tf.contrib = SimpleNamespace(layers=SimpleNamespace(batch_norm=batch_norm))
    tf.device = lambda name: contextlib.nullcontext()
    tf.random_normal, tf.random_uniform = draws.normal, draws.uniform
    tf.train.AdamOptimizer, tf.Session = Adam, Session
    del flags.FLAGS.log_dir  # which today's logging defines, and LSGAN, too


def copy(checkout: Path, folder: Path, changes: dict[str, list[list[str]]]) -> None:
    """Copies the Python files of a checkout, translated, with some patterns replaced."""
    for file in checkout.rglob("*.py"):
        name = str(file.relative_to(checkout))
        source = WHOLE.sub(r"\1//", file.read_text(encoding="utf-8").replace("float32", "float64"))
        for pattern, new in changes.get(name, []):
            source, count = re.subn(pattern, new, source, flags=re.MULTILINE)
            assert count, f"{name}: no {pattern}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(PYTHON_2.refactor_string(source + "\n", name)), encoding="utf-8")


def main(checkout: Path, given: Path, wanted: Path) -> None:
    """Reads the inputs, plays, and writes the outputs."""
    draws = Draws()
    prepare(draws)
    with np.load(given) as file:
        inputs = dict(file)
    spec = json.loads(str(inputs.pop("spec")))
    with tempfile.TemporaryDirectory() as folder:
        copy(checkout, Path(folder), spec["changes"])
        os.chdir(folder)
        sys.path.insert(0, folder)
        sys.argv = [spec["script"], *spec["arguments"]]
        for name in UNUSED.split():
            sys.modules[name] = ModuleType(name)
        if (Path(folder) / "tflib").is_dir():
            import tflib

            for name in ("cifar10", "inception_score", "plot", "save_images", "small_imagenet"):
                setattr(tflib, name, sys.modules[f"tflib.{name}"])
            tflib.plot.plot = tflib.plot.tick = tflib.plot.flush = lambda *_: None
            tflib.save_images.save_images = lambda *_: None
            handed = [inputs[f"reals/{index}"] for index, turn in enumerate(spec["turns"]) if turn["player"] == "D"]
            handed.append(handed[0])  # one more is read before the last turn is over
            labels = np.zeros(len(handed[0]))
            tflib.cifar10.load = lambda *_, **__: 2 * (lambda: iter([(images, labels) for images in handed]),)
            tflib.small_imagenet.load = lambda *_, **__: 2 * (lambda: iter([(images,) for images in handed]),)

        def load(data: Any, path: str) -> Any:
            draws.placeholders["images"] = tf.placeholder(tf.float64, spec["shape"])
            return draws.placeholders["images"]

        sys.modules["lsun"].LSUN = type("LSUN", (), {"load": load})
        script: dict[str, Any] = {"__name__": "__main__"}
        tf.app.run = lambda: (flags.FLAGS(sys.argv), script["main"]())
        Session.spec, Session.inputs, Session.draws, Session.script = spec, inputs, draws, script
        with contextlib.suppress(Finished), contextlib.redirect_stdout(sys.stderr):
            exec(compile(Path(spec["script"]).read_text(encoding="utf-8"), spec["script"], "exec"), script)
        np.savez(wanted, **Session.results)


if __name__ == "__main__":
    main(*(Path(path).absolute() for path in sys.argv[1:]))
