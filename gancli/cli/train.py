"""``gancli train``: a preset, data, and a run directory at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import Device, Keep, Precision, Workers, complete_preset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gancli.schema import RunConfig


def train(
    preset: Annotated[
        str | None,
        typer.Argument(metavar="PRESET", help="A preset; `gancli presets` lists them.", autocompletion=complete_preset),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help="Folder, zip, tar, npz, `shapes`, or a data set such as `mnist`."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the run: it goes to runs/NAME.  [default: the preset's]"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run directory, instead of --name.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="Length in training steps.")] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", metavar="N", help="Length in passes over the data.")
    ] = None,
    kimg: Annotated[float | None, typer.Option("--kimg", metavar="N", help="Length in thousands of images.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", help="Images per step.")] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", metavar="N", help="Height and width of the images in pixels."),
    ] = None,
    direction: Annotated[
        str | None, typer.Option("--direction", metavar="AtoB|BtoA", help="pix2pix: from which domain to which.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of all random numbers.")] = None,
    device: Device = None,
    precision: Precision = None,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the networks (torch.compile).", show_default=False),
    ] = None,
    workers: Workers = None,
    on_bad_image: Annotated[
        str | None,
        typer.Option("--on-bad-image", metavar="skip|error", help="What to do with an unreadable image."),
    ] = None,
    keep: Keep = None,
    evaluate: Annotated[
        str | None,
        typer.Option(
            "--eval",
            metavar="METRIC:N",
            help="Measure every N steps, and keep the best in best/: fid:5000; --set train.evaluate... says how.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool | None,
        typer.Option("--tensorboard/--no-tensorboard", help="Also write TensorBoard events.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML over the preset, such as a run's config.yaml."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=V", help="Set any key, over preset and --config; may be repeated."),
    ] = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", metavar="MODEL", help="Begin with the weights of a model.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained, and stop.")] = False,
) -> None:
    """Train a model and print its run directory.

    Settings come from the preset, over it from --config, and over both from --set and the other options.
    """
    from gancli import config as configuration
    from gancli.errors import GancliError
    from gancli.modelfile import find_model

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
    resolved = configuration.resolve(
        preset,
        config_file=config,
        sets=sets or (),
        flags=flags,
    )
    if dry_run:
        _print_plan(resolved)
        return

    from gancli.training import distributed
    from gancli.training.rundir import RUNS, RunDirectory, check_name, default_run_path
    from gancli.training.session import prepare, run_session

    if out is None and name is not None:
        out = RUNS / check_name(name)
    if out is not None:
        RunDirectory.check_free(out)  # before the data are read, which may take minutes
    session = prepare(resolved, begins=True)
    leader = distributed.rank() == 0  # the session disconnects the processes at its end
    if leader:
        path = out or default_run_path(resolved.preset or resolved.architecture)
        run = RunDirectory.create(path, session.config)
    run = RunDirectory(Path(distributed.share_text(str(run.path) if leader else "")))
    outcome = run_session(session, run)
    if leader:
        typer.echo(run.path)
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)


def _evaluation(text: str | None) -> tuple[str | None, int | None]:
    """Returns the metric and the steps of ``--eval fid:5000``."""
    from gancli.errors import GancliError

    if text is None:
        return None, None
    metric, _, every = text.rpartition(":")
    if not metric or not every.isdecimal():
        raise GancliError(f"--eval {text}: must be a metric and a number of steps", "--eval fid:5000")
    return metric, int(every)


def _print_plan(config: RunConfig) -> None:
    """Prints the configuration, the networks, the data, the length and the memory of a run."""
    import torch

    from gancli import config as configuration
    from gancli import console
    from gancli.data.pipeline import decoded_bytes
    from gancli.devices import choose_device
    from gancli.home import home
    from gancli.registry import load_architecture
    from gancli.training import distributed
    from gancli.training.length import portions
    from gancli.training.plan import make_plan
    from gancli.training.session import open_training_source, with_classes

    if config.train.evaluate is not None:
        from gancli.metrics.catalogue import without_classifier

        without_classifier(config.train.evaluate.metric, "--eval")
    device = choose_device(config.train.device, distributed.local_rank())
    source = open_training_source(config)
    config = config.model_copy(update={"model": with_classes(config, source)})
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    epoch = max(len(images) for images in source.domains.values())
    # Each process of torchrun plans for itself: they are not connected.
    world = distributed.launched()
    plan = make_plan(architecture, config, epoch, world)
    memory = plan.memory
    known = memory.activations is not None
    in_memory, in_file = decoded_bytes(
        source, architecture.inputs(config.model), config.data, portions(architecture, config.train), world
    )
    decoded = [f"{_mib(in_memory)} MiB in RAM"] if in_memory else []
    decoded += [f"{_mib(in_file)} MiB in a file in {home() / 'cache'}"] if in_file else []
    typer.echo(configuration.to_yaml(config))
    console.table(
        ["network", "parameters"],
        [[name, f"{count:,}"] for name, count in plan.parameters.items()]
        + [["all", f"{sum(plan.parameters.values()):,}"]],
    )
    typer.echo("")
    console.table(
        ["run", ""],
        [
            ["data", f"{source.location}: {source.layout}, {epoch:,} images"],
            [
                "device",
                f"{device}, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device),
            ],
            ["length", f"{plan.steps:,} steps of {_batches(plan.batches)}, {plan.epochs:.3g} epochs"],
            ["decoded images", f"at least {' and '.join(decoded)}"],
            [
                "memory",
                f"{'about' if known else 'more than'} {_mib(memory.total)} MiB on {device.type}, plus PyTorch itself",
            ],
            [
                "",
                f"weights {_mib(memory.weights)}, gradients {_mib(memory.gradients)}, "
                f"optimizers {_mib(memory.optimizers)}, averages {_mib(memory.averages)}, "
                f"activations {'unknown' if memory.activations is None else _mib(memory.activations)}",
            ],
        ],
    )


def _batches(sizes: Sequence[int]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{most} images" if least == most else f"{least} to {most} images"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
