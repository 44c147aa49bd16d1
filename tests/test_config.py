from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Discriminator, Field, Tag

from gancli import config, keys, registry
from gancli.errors import GancliError
from gancli.schema import AdamConfig, ModelConfig, RMSpropConfig, RunConfig, at_resolution

BATCH = "images per step, over all ranks and micro-batches; or by resolution: {4: 128, 32: 64}"
LENGTH = "train: the length of a run is one of steps, epochs and kimg, but here is"


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes, name: str = "my.yaml") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def resolve(
    *sets: str,
    preset: str | None = "dcgan",
    file: str | bytes | None = None,
    flags: Mapping[str, tuple[Any, str]] | None = None,
) -> RunConfig:
    path = write(file) if file is not None else None
    return config.resolve(preset, config_file=path, sets=sets, flags=flags)


def failure(*sets: str, **kwargs: Any) -> GancliError:
    with pytest.raises(GancliError) as caught:
        resolve(*sets, **kwargs)
    return caught.value


def problems(*sets: str, **kwargs: Any) -> list[str]:
    return failure(*sets, **kwargs).message.split("\n")


# ---- presets and layers


def test_the_published_numbers_are_numbers() -> None:
    adam = resolve().model_dump()["model"]["optimizers"]["D"]
    assert adam == {"kind": "adam", "lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8, "weight_decay": 0.0}


def test_later_layers_win() -> None:
    file = "train: {batch: 8, seed: 8, keep: 8}\ndata: {flip: true}"
    flags = {"train.batch": (32, "--batch"), "train.workers": (None, "--workers")}
    train = resolve("train.keep=16", file=file, flags=flags).train
    assert (train.batch, train.seed, train.keep, train.log_every, train.workers) == (32, 8, 16, 50, None)
    assert resolve(file=file).train.batch == 8
    assert resolve().train.batch == 64
    assert resolve(file=file).data.flip is True
    assert resolve(file=file).model == resolve().model


def test_the_later_of_two_sets_wins() -> None:
    assert resolve("train.batch=4", "train.batch=8").train.batch == 8


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2e-4", 2e-4), ("1E5", 1e5), ("1e0", 1.0), (".5", 0.5), ("3.", 3.0), ("+7", 7.0), ("0x10", 16.0), ("010", 10.0)],
)
def test_numbers(value: str, expected: float) -> None:
    assert resolve(f"train.epochs={value}").train.epochs == expected


def test_a_whole_number_may_have_an_exponent() -> None:
    steps = resolve("train.steps=1e5").train.steps
    assert steps == 100_000
    assert isinstance(steps, int)
    assert problems("train.steps=1.5") == ["--set train.steps=1.5: must be a whole number"]


@pytest.mark.parametrize("text", ["no", "yes", "on", "12:30:45", "0o", "2001-01-01", "1_000", "<<", "="])
def test_only_yaml_1_2_has_meanings(text: str) -> None:
    assert resolve(f"data.source={text}").data.source == text
    assert resolve(file=f"data:\n  source: {text}\n").data.source == text


def test_only_true_and_false_are_switches() -> None:
    assert resolve("train.compile=True").train.compile is True
    assert (
        resolve(flags={"train.compile": (False, "--no-compile")}, file="train: {compile: true}").train.compile is False
    )
    assert problems("train.compile=maybe") == ["--set train.compile=maybe: must be true or false"]
    assert problems("train.batch=true") == ["--set train.batch=true: must be a number, not true"]


def test_sets_reach_into_sections() -> None:
    resolved = resolve("model.optimizers.G.lr=1e-4", "train.turns={D: {every: 2}}", "train.turns.G.below=0.5")
    optimizers = resolved.model_dump()["model"]["optimizers"]
    assert (optimizers["G"]["lr"], optimizers["D"]["lr"]) == (1e-4, 2e-4)
    assert {name: (turn.every, turn.below) for name, turn in resolved.train.turns.items()} == {
        "D": (2, None),
        "G": (1, 0.5),
    }


def test_a_configuration_needs_no_preset() -> None:
    resolved = resolve(preset=None, file="architecture: dcgan\ntrain: {steps: 5}")
    assert (resolved.preset, resolved.train.steps, resolved.train.epochs) == (None, 5, None)


def test_nothing_given() -> None:
    error = failure(preset=None)
    assert error.message == "no preset given"
    assert "--config FILE" in error.hint
    assert "gancli presets" in error.hint


def test_an_unknown_preset() -> None:
    assert failure(preset="dcgna").hint == "did you mean 'dcgan'?"


# ---- the length of a run


@pytest.mark.parametrize("key", ["steps", "epochs", "kimg"])
def test_a_length_takes_back_the_lengths_of_earlier_layers(key: str) -> None:
    expected = {"steps": None, "epochs": None, "kimg": None, key: 7}
    for resolved in (
        resolve(f"train.{key}=7"),
        resolve(file=f"train: {{{key}: 7}}"),
        resolve(flags={f"train.{key}": (7, f"--{key}")}, file="train: {kimg: 3}"),
    ):
        assert {name: getattr(resolved.train, name) for name in expected} == expected


def test_one_layer_has_one_length() -> None:
    file = "data: {flip: true}\ntrain:\n  epochs: 3\n  batch: 4\n  steps: 5\n"
    assert problems(file=file) == [f"my.yaml:5: {LENGTH} steps and epochs"]
    assert problems("train.kimg=1", "train.steps=2") == [f"--set train.steps=2: {LENGTH} steps and kimg"]
    flags = {"train.epochs": (2.5, "--epochs")}
    assert problems("train.steps=2", flags=flags) == [f"--epochs 2.5: {LENGTH} steps and epochs"]


def test_a_run_without_a_length() -> None:
    assert problems("train.epochs=null") == [f"--set train.epochs=null: {LENGTH} none of them"]
    assert problems(preset=None, file="architecture: dcgan") == [f"my.yaml: {LENGTH} none of them"]
    assert problems(preset=None, file="architecture: dcgan\ntrain: {seed: 1}") == [f"my.yaml:2: {LENGTH} none of them"]


# ---- null


def test_null_takes_back_and_a_key_below_it_creates() -> None:
    assert resolve("train.average=null", preset="dcgan-shapes").train.average is None
    kept = resolve("train.average.decay=0.9", preset="dcgan-shapes").train.average
    anew = resolve("train.average=null", "train.average.decay=0.9", preset="dcgan-shapes").train.average
    created = resolve("train.average.decay=0.9").train.average
    assert kept is not None
    assert anew is not None
    assert (kept.decay, kept.start) == (0.9, 100)
    assert (anew.decay, anew.start) == (0.9, 0)
    assert created == anew
    assert resolve("train.average={}").train.average is not None


def test_null_is_the_default_where_a_key_cannot_be_null() -> None:
    resolved = resolve("train.batch=null", "model.latent_dim=null", "data=null", preset="dcgan-shapes")
    assert (resolved.train.batch, resolved.model_dump()["model"]["latent_dim"], resolved.data.source) == (64, 100, None)
    file = "train: {turns: {D: {every: 3}, G: {every: 3}}}"
    assert list(resolve("train.turns.D=null", file=file).train.turns) == ["G"]


def test_a_null_hides_no_problem() -> None:
    split = "train: batch 64 cannot be split into accumulate 3 equal parts"
    assert problems("train.accumulate=3", "train.batch=null") == [f"--set train.batch=null: {split}"]


def test_a_section_with_all_keys_commented_out_changes_nothing() -> None:
    assert resolve(file="train:\n  # batch: 3\nmodel:\ndata: {flip: true}").train == resolve().train


# ---- optimizers


def optimizers(*sets: str, **kwargs: Any) -> dict[str, Any]:
    return resolve(*sets, **kwargs).model_dump()["model"]["optimizers"]


def test_another_optimizer_begins_with_its_own_defaults() -> None:
    published = optimizers(preset="progan")
    assert (published["D"]["kind"], published["D"]["betas"]) == ("adam", (0, 0.99))
    rmsprop = RMSpropConfig().model_dump()
    chosen = optimizers("model.optimizers.D.kind=rmsprop", preset="progan")
    assert chosen == {"D": rmsprop, "G": published["G"]}
    file = "model: {optimizers: {D: {kind: rmsprop, alpha: 0.5}}}"
    assert optimizers(file=file)["D"] == {**rmsprop, "alpha": 0.5}
    # In one layer the order does not matter, and what an earlier layer sets for the same optimizer stays.
    assert optimizers("model.optimizers.D.lr=1e-3", "model.optimizers.D.kind=rmsprop")["D"] == {**rmsprop, "lr": 1e-3}
    same = optimizers("model.optimizers.D.kind=rmsprop", "model.optimizers.D.lr=1e-3", file=file)["D"]
    assert same == {**rmsprop, "alpha": 0.5, "lr": 1e-3}
    assert optimizers("model.optimizers.D.kind=adam", preset="progan") == published
    assert optimizers("model.optimizers.D.kind=null", preset="progan") == published
    back = optimizers("model.optimizers.D.kind=adam", file=file)["D"]
    assert back == AdamConfig().model_dump()


def test_a_table_begins_with_the_papers_defaults() -> None:
    file = "architecture: progan\ntrain: {kimg: 1}\nmodel: {optimizers: {D: {lr: 1e-4}, G: {betas: null}}}"
    both = optimizers(preset=None, file=file)
    assert (both["D"]["lr"], both["D"]["betas"]) == (1e-4, (0, 0.99))
    assert (both["G"]["lr"], both["G"]["betas"]) == (1e-3, (0, 0.99))


def test_a_key_that_the_optimizer_lacks() -> None:
    file = """\
model:
  optimizers:
    D:
      kind: rmsprop
      betas: [0, 0.9]
      alpa: 0.9
    G: {kind: adamw}
"""
    assert problems(file=file) == [
        "my.yaml:5: model.optimizers.D.betas: unknown for rmsprop; "
        "known: kind, lr, alpha, eps, momentum, centered, weight_decay",
        "my.yaml:6: model.optimizers.D.alpa: unknown key, did you mean 'alpha' (decay rate of the mean square)?",
        "my.yaml:7: model.optimizers.G.kind: must be 'adam', 'rmsprop' or 'sgd', not 'adamw', did you mean 'adam'?",
    ]
    momentum = "unknown for adam; known: kind, lr, betas, eps, weight_decay"
    assert problems("model.optimizers.D.momentum=0.9") == [f"--set model.optimizers.D.momentum=0.9: {momentum}"]
    assert problems("model.optimizers.D.kind=[a]") == [
        "--set model.optimizers.D.kind=[a]: must be 'adam', 'rmsprop' or 'sgd'"
    ]


# ---- problems


def test_all_problems_at_once_each_at_the_place_that_won() -> None:
    file = """\
model:
  latent_dimm: 5
  resolution: 48
data:
  crop: middel
  nope: {a: 1}
train:
  batch: 6.5
  batch: 4
  seed: -1
  keep: zero
  turns: {E: {every: 2}, D: {above: 2, below: 1}}
  precision:
    kind: 3
"""
    flags = {"train.keep": (0, "--keep"), "train.compile": (True, "--compile")}
    sets = ["batch=4", "train.turns={G: {evry: 2}}", "train.precision=fp8", "train.average.decay=1"]
    assert problems(*sets, file=file, flags=flags) == [
        "my.yaml:2: model.latent_dimm: unknown key, did you mean 'latent_dim' (Z, components of the latent vector)?",
        "my.yaml:3: model.resolution: must be a power of two: 32 or 64, for instance",
        "my.yaml:5: data.crop: must be 'center' or 'random', not 'middel'",
        "my.yaml:6: data.nope: unknown section",
        "my.yaml:8: train.batch: must be a whole number, not 6.5",
        "my.yaml:9: train.batch: given twice, here and in line 8",
        "my.yaml:10: train.seed: must be at least 0, not -1",
        "my.yaml:12: train.turns.E: the architecture has no such player, its players are D and G",
        "my.yaml:12: train.turns.D: the player never moves: no loss is above 2.0 and below 1.0",
        f"--set batch=4: unknown key, did you mean 'train.batch' ({BATCH})?",
        "--set train.turns={G: {evry: 2}}: train.turns.G.evry: unknown key, did you mean 'every' "
        "(the player moves in every k-th round or epoch)?",
        "--set train.precision=fp8: must be 'fp32', 'bf16' or 'fp16'",
        "--set train.average.decay=1: must be less than 1",
        "--keep 0: must be at least 1",
    ]


def test_problems_of_a_preset_name_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("presets").mkdir()
    path = write("architecture: dcgan\ntrain:\n  epochs: 1\n  bacth: 3\n", "presets/dcgan.yaml")
    monkeypatch.setattr(registry, "preset_paths", lambda: {"dcgan": path.resolve()})
    error = failure("train.seed=1")
    assert error.message == f"presets/dcgan.yaml:4: train.bacth: unknown key, did you mean 'batch' ({BATCH})?"
    assert error.hint == "`gancli presets dcgan` prints every key with its value and meaning"


def test_keys_that_do_not_fit_together_are_reported_where_the_last_was_written() -> None:
    split = "train: batch 64 cannot be split into accumulate 3 equal parts"
    assert problems("train.accumulate=3", "train.seed=1") == [f"--set train.accumulate=3: {split}"]
    flags = {"train.batch": (64, "--batch")}
    assert problems(file="train: {accumulate: 3}", flags=flags) == [f"--batch 64: {split}"]


def test_no_problem_is_invented_from_a_default_in_place_of_a_wrong_value() -> None:
    assert problems("train.batch=x", "train.accumulate=3") == ["--set train.batch=x: must be a whole number"]
    assert problems("train.steps=x", file="train: {seed: 3}") == ["--set train.steps=x: must be a whole number"]


def test_keys_are_compared_once_each_is_right_by_itself() -> None:
    split = "--set train.accumulate=3: train: batch 64 cannot be split into accumulate 3 equal parts"
    assert problems("train.seed=x", "train.accumulate=3") == ["--set train.seed=x: must be a whole number"]
    assert problems("train.seed=1", "train.accumulate=3") == [split]
    # Other sections are judged all the same.
    assert problems("data.crop=x", "train.accumulate=3") == [
        "--set data.crop=x: must be 'center' or 'random'",
        split,
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train.batch=abc", "must be a whole number"),
        ("train.batch=0", "must be at least 1"),
        ("train.batch=", "the value is missing; null clears the key"),
        ("train.batch=[1]", "must be a whole number"),
        ("train.epochs=.inf", "must be a finite number"),
        ("train.epochs=soon", "must be a number"),
        (
            "train.schedule.kind=cosin",
            "must be 'constant', 'linear', 'cosine', 'step' or 'milestones', did you mean 'cosine'?",
        ),
        ("train.schedule=5", "must be a section, with keys of its own"),
        ("train.turns=5", "must be a section, with keys of its own"),
        ("train.device=gpu", "must be auto, cpu, mps, cuda, or one GPU such as cuda:1"),
        (
            "train.lr=1",
            "unknown key, did you mean 'model.optimizers.D.lr' or 'model.optimizers.G.lr' "
            "(learning rate, or by resolution: {4: 1e-3, 128: 1.5e-3})?",
        ),
        (
            "resolutoin=1",
            "unknown key, did you mean 'model.resolution' (height and width in pixels, a power of two)?",
        ),
        ("qqq=1", "unknown key"),
        ("qqq.rrr=1", "qqq: unknown section"),
        ("model=5", "must be a section, with keys of its own"),
        ("model.optimizers.D.betas=[0.5]", "must have more than 1 value"),
        ("model.optimizers.D.betas=[0.5, 0.9, 0.9]", "must have at most 2 values"),
        ("model.optimizers.D.betas=0.5", "must be a list"),
        ("model.optimizers.D.betas=[0.5, 2]", "model.optimizers.D.betas[1]: must be less than 1"),
        ("data.source=2024", "must be text"),
        ("data.source=!!python/name:os.system x", "the tag python/name:os.system cannot be used"),
        ("train.batch", "must be KEY=VALUE, for instance train.batch=32"),
        ("=3", "must be KEY=VALUE, for instance train.batch=32"),
        ("train..batch=3", "must be KEY=VALUE, for instance train.batch=32"),
        ("preset=dcgan-shapes", "cannot be changed with --set"),
        ("architecture=other", "cannot be changed with --set"),
        ("train={batch: 1, batch: 2}", "train.batch: given twice"),
        ("train.seed=" + "9" * 5000, "the number is too large"),
        ("train.steps=1e30", "the number is too large"),
        ("train.steps=1" + "0" * 30, "must be at most 9007199254740992"),
    ],
)
def test_a_problem_of_a_set(text: str, problem: str) -> None:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    assert problems(text) == [f"--set {shown}: {problem}"]


@pytest.mark.parametrize(
    "value", ["{", "a: b: c", '"\\UFFFFFFFF"', "*x", "[" * 3000, "\udcff", "\0", "%x", "- -\t-\n\t"]
)
def test_a_set_that_is_no_yaml(value: str) -> None:
    (problem,) = problems(f"data.source={value}")
    assert ": the value is not valid YAML: " in problem
    assert problem.isprintable()


def test_a_set_that_contradicts_a_flag() -> None:
    flags = {"train.batch": (32, "--batch")}
    assert problems("train.batch=16", flags=flags) == ["--batch 32: contradicts --set train.batch=16"]
    assert problems("train={batch: 16}", flags=flags) == ["--batch 32: contradicts --set train={batch: 16}"]
    assert resolve("train.batch=32", flags=flags).train.batch == 32


def test_an_unknown_key_has_a_hint_that_shows_the_keys() -> None:
    assert (
        failure("train.qqq=1", preset="dcgan-mnist").hint
        == "`gancli presets dcgan-mnist` prints every key with its value and meaning"
    )
    file = "architecture: dcgan\ntrain: {steps: 1, qqq: 1}"
    assert failure(preset=None, file=file).hint == "`gancli presets dcgan` prints every key with its value and meaning"


def test_a_dotted_key_in_a_file() -> None:
    assert problems(file="train.batch: 4") == ["my.yaml:1: train.batch: unknown key, write `batch:` below `train:`"]


# ---- files


def test_another_architecture_than_the_presets() -> None:
    error = failure(file="# mine\narchitecture: cyclegan\nmodel: {cycle_weight: 10}\ntrain: {btch: 3}")
    assert error.message.split("\n") == [
        "my.yaml:2: architecture: is cyclegan, but presets/dcgan.yaml:2 says dcgan",
        f"my.yaml:4: train.btch: unknown key, did you mean 'batch' ({BATCH})?",
    ]
    assert "leave out the preset" in error.hint


def test_an_unknown_or_missing_architecture() -> None:
    file = "train: {steps: 1}\narchitecture: dcgn"
    expected = "my.yaml:2: architecture: there is no architecture 'dcgn', did you mean 'dcgan'?"
    assert problems(preset=None, file=file) == [expected]
    for file, hinted in [("train: {steps: 1}", "dcgan"), ("preset: dcgan-shapes\ntrain: {steps: 1}", "dcgan-shapes")]:
        error = failure(preset=None, file=file)
        assert error.message == "my.yaml: architecture: is missing"
        assert f"`gancli train {hinted} --config my.yaml`" in error.hint
    assert problems(preset=None, file="architecture: [a]\ntrain: {steps: 1}") == [
        "my.yaml:1: architecture: must be text"
    ]


def test_a_wrong_key_of_the_architecture_hides_no_problem_of_the_model() -> None:
    twice = "architecture: dcgan\narchitecture: dcgan\ntrain: {steps: 1}\nmodel: {latent_dim: 0}"
    assert problems("architecture=x", preset=None, file=twice) == [
        "my.yaml:2: architecture: given twice, here and in line 1",
        "my.yaml:4: model.latent_dim: must be at least 1, not 0",
        "--set architecture=x: cannot be changed with --set",
    ]
    empty = "# mine\narchitecture:\ntrain: {steps: 1}\nmodel: {qqq: 0}"
    assert problems(preset=None, file=empty) == ["my.yaml:2: architecture: is missing"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "my.yaml is empty"),
        ("# nothing\n", "my.yaml is empty"),
        ("---\n", "my.yaml is empty"),
        ("null", "my.yaml is empty"),
        ("- a", "my.yaml is not a configuration: it holds a list instead of keys"),
        ("dcgan", "my.yaml is not a configuration: it holds a single value instead of keys"),
        (b"\x89PNG\r\n", "my.yaml:1: not UTF-8 text"),
        ("train: {}".encode("utf-16-le"), "my.yaml:1: not text, or UTF-16 text without a byte order mark"),
        (b" " * 300_000, "my.yaml is not a configuration: it is larger than 256 KiB"),
        ("a: 1\nb: \0", "my.yaml:2: not text, or UTF-16 text without a byte order mark"),
        ("train:\n\tbatch: 3", "my.yaml:2: not valid YAML: a tab instead of spaces"),
        ("a: 1\nb: c: d", "my.yaml:2: not valid YAML: a colon is not allowed here; put text with a colon in quotes"),
        ("a: &x 1\nb: *x", "my.yaml:2: not valid YAML: aliases (*name) cannot be used; write the value out"),
        (
            "a: 1\n---\nb: 2",
            "my.yaml:2: not valid YAML: expected a single document in the stream, but found another document",
        ),
        ("a: " + "[" * 3000, "my.yaml: not valid YAML: it is nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration(content: str | bytes, message: str) -> None:
    assert problems(file=content) == [message]


def test_keys_that_are_no_words() -> None:
    file = '? [a]\n: 3\ntrain:\n  "\\ud800": 1\n'
    assert problems(file=file) == ["my.yaml:1: a key must be one word", "my.yaml:4: train: a key must be one word"]
    assert problems(file="1: 2") == ["my.yaml:1: 1: unknown key"]


def test_a_byte_order_mark_and_windows_lines() -> None:
    assert resolve(file=b"\xef\xbb\xbftrain:\r\n  batch: 4\r\n").train.batch == 4


@pytest.mark.parametrize(("name", "reason"), [("here", "is a directory"), ("a\0b", "embedded null byte")])
def test_a_file_that_cannot_be_read(name: str, reason: str) -> None:
    Path("here").mkdir()
    with pytest.raises(GancliError, match=f"cannot be read: {reason}"):
        config.resolve(config_file=Path(name))


def test_a_missing_file() -> None:
    write("", "mine.yaml")
    with pytest.raises(GancliError, match=r"there is no configuration file min\.yaml") as caught:
        config.resolve(config_file=Path("min.yaml"))
    assert caught.value.hint == "did you mean 'mine.yaml'?"
    with pytest.raises(GancliError, match=r"there is no configuration file nowhere/x\.yaml"):
        config.resolve(config_file=Path("nowhere/x.yaml"))


def test_a_pipe_is_a_file() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"train: {batch: 4}")
    os.close(writer)
    try:
        assert config.resolve("dcgan", config_file=Path(f"/dev/fd/{reader}")).train.batch == 4
    finally:
        os.close(reader)


# ---- run directories and model files


def test_what_to_yaml_wrote_is_read_and_takes_changes() -> None:
    path = write(config.to_yaml(resolve(preset="dcgan-shapes")), "config.yaml")
    assert config.resolve(config_file=path) == resolve(preset="dcgan-shapes")
    changed = config.resolve(config_file=path, sets=["train.keep=5"], flags={"train.kimg": (1.5, "--kimg")})
    assert (changed.train.keep, changed.train.kimg, changed.train.steps, changed.preset) == (
        5,
        1.5,
        None,
        "dcgan-shapes",
    )
    with pytest.raises(GancliError, match=r"--set train\.kepp=5: unknown key, did you mean 'keep'"):
        config.resolve(config_file=path, sets=["train.kepp=5"])


@pytest.mark.parametrize(
    "text", ["1e5", "no", "0x1", "", "~", " a", "a: b", "# a", "\x85", "a\n\u2028 b", "für", "\ufeff"]
)
def test_text_stays_text(text: str) -> None:
    original = resolve(flags={"data.source": (text, "--data")})
    path = write(config.to_yaml(original), "config.yaml")
    assert config.resolve(config_file=path) == original
    assert original.data.source == yaml.safe_load(path.read_bytes())["data"]["source"]


def test_yaml_is_laid_out_for_people() -> None:
    text = config.to_yaml(resolve())
    assert text.startswith("architecture: dcgan\npreset: dcgan\n")
    assert "      betas: [0.5, 0.999]\n" in text


def test_numbers_by_resolution() -> None:
    resolved = config.resolve("progan-shapes", sets=["train.batch.16=8", "model.optimizers.D.lr={4: 1e-3, 8: 2e-3}"])
    assert resolved.train.batch == {4: 32, 16: 8}
    assert [at_resolution(resolved.train.batch, resolution) for resolution in (4, 8, 16, 64)] == [32, 32, 8, 8]
    assert at_resolution({8: 3, 16: 5}, 4) == 3
    assert yaml.safe_load(config.to_yaml(resolved))["model"]["optimizers"]["D"]["lr"] == {4: 1e-3, 8: 2e-3}
    flag = {"train.batch": (12, "--batch")}
    assert config.resolve("progan-shapes", flags=flag).train.batch == 12
    assert problems("train.batch={4: 0}") == ["--set train.batch={4: 0}: train.batch.4: must be at least 1"]
    assert problems("train.batch={3: 8}") == ["--set train.batch={3: 8}: train.batch.3: must be at least 4"]
    assert problems("train.batch=x") == ["--set train.batch=x: must be a whole number"]
    assert problems("train.batch={8: 6}", "train.accumulate=4") == [
        "--set train.accumulate=4: train: batch 6 cannot be split into accumulate 4 equal parts"
    ]


def test_an_architectures_own_section(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(ModelConfig):
        width: int
        style: Literal["plain", "fancy"] | int = 1
        blocks: list[AdamConfig] = Field([])

    monkeypatch.setattr(registry, "load_architecture", lambda _: SimpleNamespace(Config=Own))
    assert config.validate_model("dcgan", {"width": 2, "style": "fancy", "blocks": [{"lr": 1}]}) == Own(
        width=2, style="fancy", blocks=[AdamConfig(lr=1)]
    )
    assert problems("model=null") == ["--set model=null: model.width: is missing"]
    file = "architecture: dcgan\ntrain: {steps: 1}\n"
    assert problems("model.width=null", preset=None, file=file) == ["--set model.width=null: is missing"]
    assert problems(preset=None, file=file + "model: {style: x, width: 1, blocks: [{lr: 0}, 3]}") == [
        "my.yaml:3: model.style: must be 'plain' or 'fancy', not 'x'",
        "my.yaml:3: model.style: must be a whole number, not 'x'",
        "my.yaml:3: model.blocks[0].lr: must be greater than 0, not 0",
        "my.yaml:3: model.blocks[1]: must be a section, with keys of its own, not 3",
    ]


def test_an_architectures_own_sections_are_told_apart_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(value: Any) -> str:
        return str(value.get("kind") if isinstance(value, Mapping) else value.kind)

    class Own(ModelConfig):
        rule: Annotated[
            Annotated[AdamConfig, Tag("adam")] | Annotated[RMSpropConfig, Tag("rmsprop")], Discriminator(kind)
        ] = RMSpropConfig(alpha=0.5)

    monkeypatch.setattr(registry, "load_architecture", lambda _: SimpleNamespace(Config=Own))
    assert config.validate_model("dcgan", {"rule": {"lr": 1}}) == Own(rule=RMSpropConfig(alpha=0.5, lr=1))
    assert config.validate_model("dcgan", {"rule": {"kind": "adam"}}) == Own(rule=AdamConfig())
    wrong = "--set model.rule.kind=adan: must be 'adam' or 'rmsprop', did you mean 'adam'?"
    file = "architecture: dcgan\ntrain: {steps: 1}\n"
    assert problems("model.rule.kind=adan", preset=None, file=file) == [wrong]


def test_validate_model() -> None:
    assert config.validate_model("dcgan", {"resolution": 32, "optimizers": {"D": {"lr": 1}}}).resolution == 32
    with pytest.raises(GancliError) as caught:
        config.validate_model("dcgan", {"resolution": "x", "latent_dimm": 3, "optimizers": {"D": {"lr": 0}}})
    assert sorted(caught.value.message.split("\n")) == [
        "model.latent_dimm: unknown key, did you mean 'latent_dim' (Z, components of the latent vector)?",
        "model.optimizers.D.lr: must be greater than 0, not 0",
        "model.resolution: must be a whole number, not 'x'",
    ]
    with pytest.raises(GancliError, match="model: must be a section"):
        config.validate_model("dcgan", ["x"])  # type: ignore[arg-type]
    with pytest.raises(GancliError, match="there is no architecture 'dcgn'"):
        config.validate_model("dcgn", {})


# ---- any input

KEYS = sorted(
    {name for key in keys.keys(RunConfig) for name in key.path} | {"D", "G", "lr", "betas", "optimizers", "x"}
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["dcgan", "step"])
)


@st.composite
def names(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(KEYS))


VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(names(), below, max_size=5))
WIDTHS = st.integers(1, 10_000)
POSITIVE = st.floats(1e-300, 1e300)
RATES = st.floats(0, 1, exclude_max=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ADAM = st.fixed_dictionaries(
    {}, optional={"lr": POSITIVE, "betas": st.tuples(RATES, RATES).map(list), "eps": POSITIVE, "weight_decay": POSITIVE}
)
CONFIGS = st.fixed_dictionaries(
    {
        "architecture": st.just("dcgan"),
        "preset": st.none() | TEXT,
        "description": TEXT,
        "model": st.fixed_dictionaries(
            {},
            optional={
                "resolution": st.sampled_from([32, 64, 128, 256]),
                "channels": st.sampled_from([1, 3]),
                "latent_dim": WIDTHS,
                "generator_width": WIDTHS,
                "optimizers": st.fixed_dictionaries({}, optional={"D": ADAM, "G": ADAM}),
            },
        ),
        "data": st.fixed_dictionaries({}, optional={"source": st.none() | TEXT, "flip": st.booleans()}),
        "train": st.one_of(
            st.fixed_dictionaries({"steps": WIDTHS}), st.fixed_dictionaries({"epochs": st.floats(1e-300, 1e100)})
        ).flatmap(
            lambda length: st.fixed_dictionaries(
                {key: st.just(value) for key, value in length.items()},
                optional={
                    "seed": st.integers(0, 2**63 - 1),
                    "clip_gradients": st.none() | POSITIVE,
                    "average": st.none() | st.fixed_dictionaries({"start": WIDTHS}),
                    "turns": st.dictionaries(st.sampled_from("DG"), st.fixed_dictionaries({"every": WIDTHS})),
                },
            )
        ),
    }
)


@settings(max_examples=100, deadline=None)
@given(CONFIGS)
def test_round_trip(values: dict[str, Any]) -> None:
    model = config.validate_model("dcgan", values["model"])
    original = RunConfig.model_validate({**values, "model": model})
    assert config.resolve(config_file=write(config.to_yaml(original))) == original


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary() | VALUES.map(lambda value: yaml.safe_dump(value)))
def test_any_file_is_a_configuration_or_a_clear_error(content: str | bytes) -> None:
    for preset in (None, "dcgan"):
        assert all(line and line.isprintable() for line in complaint(preset, config_file=write(content)))


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters())
    | st.tuples(
        st.lists(names(), min_size=1, max_size=4).map(".".join),
        st.text(st.characters()) | VALUES.map(str),
    ).map("=".join)
)
def test_any_set_is_a_value_or_a_clear_error(text: str) -> None:
    assert all(line and line.isprintable() for line in complaint("dcgan", sets=[text]))


def complaint(preset: str | None, **kwargs: Any) -> list[str]:
    try:
        config.resolve(preset, **kwargs)
    except GancliError as error:
        return error.message.split("\n")
    return ["none"]


def test_load_size_keeps_its_proportion_to_the_resolution(tmp_path: Path) -> None:
    published = config.resolve("cyclegan")
    assert (published.model.resolution, published.data.load_size) == (256, 286)
    assert config.resolve("cyclegan", sets=["model.resolution=128"]).data.load_size == 143
    assert config.resolve("cyclegan", flags={"model.resolution": (512, "--resolution")}).data.load_size == 572
    assert config.resolve("cyclegan", sets=["model.resolution=128", "data.load_size=128"]).data.load_size == 128
    assert config.resolve("cyclegan", sets=["data.load_size=300"]).data.load_size == 300
    assert config.resolve("dcgan", sets=["model.resolution=32"]).data.load_size is None
    # A run's own file holds both numbers, so nothing is scaled when it is read back.
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(config.resolve("cyclegan", sets=["model.resolution=128"])))
    assert config.resolve(None, config_file=path).data.load_size == 143
    assert config.resolve("cyclegan", config_file=path).data.load_size == 143


def test_a_bad_resolution_is_reported_as_such() -> None:
    with pytest.raises(GancliError, match="resolution") as caught:
        config.resolve("cyclegan", sets=["model.resolution=big"])
    assert "load_size" not in str(caught.value)


def test_an_option_that_the_architecture_has_no_use_for() -> None:
    assert config.resolve("pix2pix", flags={"model.direction": ("BtoA", "--direction")}).model.direction == "BtoA"
    with pytest.raises(GancliError, match="--direction AtoB: this architecture has no direction"):
        config.resolve("dcgan", flags={"model.direction": ("AtoB", "--direction")})


def test_a_table_by_resolution_is_replaced_as_a_whole() -> None:
    whole = config.resolve("progan-shapes", sets=["train.batch={4: 16, 32: 8}"])
    assert whole.train.batch == {4: 16, 32: 8}
    row = config.resolve("progan-shapes", sets=["train.batch={4: 16, 32: 8}", "train.batch.32=4"])
    assert row.train.batch == {4: 16, 32: 4}
