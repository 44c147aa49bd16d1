"""``gancli train``: from a preset and data to a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, echo

from gancli import console
from gancli.cli import options
from gancli.errors import GancliError
from gancli.home import home
from gancli.metrics.catalogue import without_classifier
from gancli.metrics.trust import trust as trust_programs
from gancli.modelfile import find_model
from gancli.registry import load_architecture

if TYPE_CHECKING:
    from gancli.schema import RunConfig
    from gancli.training.rundir import RunDirectory
    from gancli.training.session import Session


def train(
    preset: Annotated[
        str | None,
        Argument(
            metavar="PRESET", help="A preset; `gancli presets` lists them.", autocompletion=options.complete_preset
        ),
    ] = None,
    data: Annotated[
        str | None,
        Option(metavar="SOURCE", help="Folder, zip, tar, npz, `shapes`, `toy:ring`, or a data set such as `mnist`."),
    ] = None,
    name: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run, in runs/NAME.  [default: the preset's]")
    ] = None,
    out: Annotated[Path | None, Option(metavar="DIR", help="Run directory, instead of --name.")] = None,
    steps: Annotated[int | None, Option(metavar="N", help="Length in training steps.")] = None,
    epochs: Annotated[float | None, Option(metavar="N", help="Length in passes over the data.")] = None,
    kimg: Annotated[float | None, Option(metavar="N", help="Length in thousands of images.")] = None,
    batch: Annotated[int | None, Option(metavar="N", help="Images per step.")] = None,
    resolution: Annotated[int | None, Option(metavar="N", help="Height and width of the images in pixels.")] = None,
    direction: Annotated[str | None, Option(metavar="AtoB|BtoA", help="pix2pix: from which domain to which.")] = None,
    seed: Annotated[int | None, Option(metavar="N", help="Seed of all random numbers.")] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    compile_: Annotated[
        bool | None,
        Option("--compile/--no-compile", help="Compile the networks (torch.compile).", show_default=False),
    ] = None,
    workers: options.Workers = None,
    on_bad_image: Annotated[
        str | None, Option(metavar="skip|error", help="What to do with an unreadable image.")
    ] = None,
    keep: options.Keep = None,
    evaluate: Annotated[
        str | None,
        Option(
            "--eval",
            metavar="METRIC:N",
            help="Measure every N steps, and keep the best in best/: fid:5000; --set train.evaluate... says how.",
        ),
    ] = None,
    trust: options.Trust = False,
    tensorboard: Annotated[
        bool | None,
        Option("--tensorboard/--no-tensorboard", help="Also write TensorBoard events.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, Option(metavar="FILE", help="YAML that overrides the preset, such as a run's config.yaml.")
    ] = None,
    sets: Annotated[
        list[str] | None, Option("--set", metavar="A.B=V", help="Override any key; may be repeated.")
    ] = None,
    init_from: Annotated[str | None, Option(metavar="MODEL", help="Begin with the weights of a model.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print what would be trained, and stop.")] = False,
) -> None:
    """Train a model and print its run directory.

    Settings come from the preset, then --config, then --set and the other options; later ones win.
    """
    from gancli.config import resolve

    if name is not None and out is not None:
        raise GancliError("--name and --out both say where the run goes", "give one of them")
    weights = str(find_model(init_from).resolve()) if init_from is not None else None
    metric, every = _evaluation(evaluate)
    flags = {
        "data.source": (data, "--data"),
        "data.on_bad_image": (on_bad_image, "--on-bad-image"),
        "model.resolution": (resolution, "--resolution"),
        "model.direction": (direction, "--direction"),
        "train.steps": (steps, "--steps"),
        "train.epochs": (epochs, "--epochs"),
        "train.kimg": (kimg, "--kimg"),
        "train.batch": (batch, "--batch"),
        "train.seed": (seed, "--seed"),
        "train.init_from": (weights, "--init-from"),
        "train.device": (device, "--device"),
        "train.precision": (precision, "--precision"),
        "train.compile": (compile_, "--compile" if compile_ else "--no-compile"),
        "train.workers": (workers, "--workers"),
        "train.keep": (keep, "--keep"),
        "train.evaluate.metric": (metric, "--eval"),
        "train.evaluate.every": (every, "--eval"),
        "train.tensorboard": (tensorboard, "--tensorboard" if tensorboard else "--no-tensorboard"),
    }
    resolved = resolve(preset, config_file=config, sets=sets or (), flags=flags)
    trust_features(resolved, wanted=trust)
    if dry_run:
        _print_plan(resolved)
        return

    from gancli.training import distributed
    from gancli.training.rundir import RUNS, RunDirectory, check_name, default_run_path
    from gancli.training.session import prepare

    if out is None and name is not None:
        out = RUNS / check_name(name)
    if out is not None:
        RunDirectory.check_free(out)  # before the data are read, which may take minutes
    session = prepare(resolved, begins=True)
    path = ""
    if distributed.rank() == 0:
        out = out or default_run_path(resolved.preset or resolved.architecture)
        path = str(RunDirectory.create(out, session.config).path)
    train_in(RunDirectory(Path(distributed.share_text(path))), session)


def trust_features(config: RunConfig, *, wanted: bool) -> None:
    """Allows the programs of ``train.evaluate`` to run, if that is ``wanted``."""
    if wanted and config.train.evaluate is not None:
        trust_programs((config.train.evaluate.features, config.train.evaluate.weights))


def train_in(run: RunDirectory, session: Session) -> None:
    """Trains in a run directory and prints it; exits as a signal says if one has ended the training."""
    from gancli.training import distributed
    from gancli.training.session import run_session

    leader = distributed.rank() == 0  # the session disconnects the processes at its end
    outcome = run_session(session, run)
    if leader:
        echo(run.path)
    if outcome.signal is not None:
        raise Exit(128 + outcome.signal)


def _evaluation(text: str | None) -> tuple[str | None, int | None]:
    """Returns the metric and the steps of ``--eval fid:5000``."""
    if text is None:
        return None, None
    metric, _, every = text.rpartition(":")
    if not metric or not every.isdecimal():
        raise GancliError(f"--eval {text}: must be a metric and a number of steps", "--eval fid:5000")
    return metric, int(every)


def _print_plan(config: RunConfig) -> None:
    """Prints the configuration, the networks, the data, the length and the memory of a run."""
    import torch

    from gancli.config import to_yaml
    from gancli.data.pipeline import decoded_bytes
    from gancli.devices import check_workers, choose_device
    from gancli.training import distributed
    from gancli.training.length import portions
    from gancli.training.plan import make_plan
    from gancli.training.session import check_train, open_training_source, with_classes

    if config.train.evaluate is not None:
        without_classifier(config.train.evaluate.metric, "--eval")
    device = choose_device(config.train.device, distributed.local_rank())
    check_workers(config.train.workers or 0)
    source = open_training_source(config)
    config = config.model_copy(update={"model": with_classes(config, source)})
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    check_train(architecture, config.train)
    epoch = max(len(images) for images in source.domains.values())
    # Each process of torchrun plans for itself: they are not connected.
    world = distributed.launched()
    plan = make_plan(architecture, config, epoch, world)
    inputs, drawn = architecture.inputs(config.model), portions(architecture, config.train)
    in_memory, in_file = decoded_bytes(source, inputs, config.data, drawn, world)
    decoded = [f"{_mib(in_memory)} MiB in RAM"] if in_memory else []
    decoded += [f"{_mib(in_file)} MiB in a file in {home() / 'cache'}"] if in_file else []
    least, most = min(plan.batches), max(plan.batches)
    batch = f"{most}" if least == most else f"{least} to {most}"
    epochs = f"{plan.epochs:,.0f}" if plan.epochs >= 100 else f"{plan.epochs:.3g}"
    memory = plan.memory
    known = memory.activations is not None
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizers": memory.optimizers,
        "averages": memory.averages,
        "activations": memory.activations,
    }
    sizes = ", ".join(f"{name} {'unknown' if size is None else _mib(size)}" for name, size in parts.items())
    threads = f", {_count(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    echo(to_yaml(config))
    networks = [*plan.parameters.items(), ("all", sum(plan.parameters.values()))]
    console.table(["network", "parameters"], [[name, f"{count:,}"] for name, count in networks])
    echo("")
    console.table(
        ["run", ""],
        [
            ["data", f"{source.location}: {source.layout}, {_count(epoch, 'image')}"],
            ["device", f"{device}{threads}"],
            ["length", f"{_count(plan.steps, 'step')}, batch size {batch}, {epochs} epoch{'s' * (epochs != '1')}"],
            ["decoded images", f"at least {' and '.join(decoded)}"],
            ["memory", f"{'about' if known else 'more than'} {_mib(memory.total)} MiB plus PyTorch itself ({sizes})"],
        ],
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
