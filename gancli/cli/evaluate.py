"""``gancli evaluate``: how good images are, by the metrics of the papers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, echo

from gancli import console
from gancli.cli import options
from gancli.cli.command import Command
from gancli.errors import GancliError, check_between, check_known
from gancli.files import replace_file
from gancli.generation.ways import way_towards
from gancli.metrics.catalogue import chosen_metrics, metric_names
from gancli.metrics.trust import trust as trust_programs
from gancli.modelfile import IN_RUN, find_model, known_models, load_model
from gancli.seeding import LARGEST_SEED

if TYPE_CHECKING:
    from gancli.data.source import Source
    from gancli.metrics.comparison import Comparison
    from gancli.metrics.evaluation import Report, Request
    from gancli.modelfile import ModelInfo

NAMED = 10
"""Most unreadable images that are named."""


class EvaluateCommand(Command):
    """Lists all metrics in its help, those of installed packages included; other commands need not look for them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        (option,) = (parameter for parameter in self.params if parameter.name == "metrics")
        option.help = f"Separated by commas: {', '.join(metric_names())}.  [default: fid,kid]"  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def evaluate(
    model: Annotated[
        str,
        Argument(
            metavar="MODEL|IMAGES",
            help="Model by name or file, or images: a folder, zip, tar or npz.",
            autocompletion=options.complete_model,
        ),
    ],
    data: Annotated[
        str | None,
        Option(
            metavar="SOURCE",
            help="Real images to compare with.  [default: the model's, if they are built in or from torchvision]",
        ),
    ] = None,
    metrics: Annotated[str, Option(metavar="LIST", show_default=False)] = "fid,kid",
    n: Annotated[
        int | None,
        Option(
            "-n",
            metavar="N",
            help="Use at most N real and N generated images.  [default: all real ones; a latent model makes as many, "
            "at most 50,000]",
        ),
    ] = None,
    split: Annotated[
        str | None,
        Option(
            metavar="train|test|all",
            help="Part of SOURCE, if it has parts.  [default: train; for translators test, if there is one]",
        ),
    ] = None,
    to: options.To = None,
    trunc: options.Trunc = None,
    cutoff: options.Cutoff = None,
    features: options.Features = None,
    weights: options.Weights = None,
    classifier: Annotated[
        str | None, Option(metavar="NAME", help="For accuracy and separability; named like --features.")
    ] = None,
    trust: options.Trust = False,
    stats: Annotated[Path | None, Option(metavar="FILE.npz", help="Statistics that replace the real images.")] = None,
    save_stats: Annotated[
        Path | None, Option(metavar="FILE.npz", help="Write the statistics of the real images.")
    ] = None,
    range_: options.Range = None,
    seed: Annotated[
        int, Option(metavar="N", help="Seed of the first image, and of everything else that is drawn.")
    ] = 0,
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="FILE.json", help="Also write the JSON report to a file.")
    ] = None,
    as_json: options.Json = False,
    batch: Annotated[int, Option(metavar="N", help="Images computed at a time.")] = 64,
    device: options.AutoDevice = "auto",
) -> None:
    """Measure how good the images of a model or a folder are, and print a table.

    A latent model is sampled, and a translator translates the other domain; real images are resized as for the model's
    training. Two sets of files are compared as they are. The JSON report records how each number was computed: features
    and their weights, numbers of images, seed, truncation, the model's hash, versions.

    Statistics of the real images are kept in $GANCLI_HOME/statistics. Weights of networks are looked up in
    $GANCLI_HOME/features, and downloaded if possible.
    """
    check_between("-n", n, 2, 10**9)
    check_between("--batch", batch, 1)
    check_known("--split", split, ("train", "test", "all"))
    if data is not None and stats is not None and save_stats is not None:
        raise GancliError("--stats and --save-stats exclude each other", "leave out one of them")
    for option, file, suffix in (("-o", output, ".json"), ("--save-stats", save_stats, ".npz")):
        if file is not None:  # before hours of work, which would be lost
            _check_writable(option, file, suffix)
    if trust:
        trust_programs((features, weights, classifier))
    given = _are_images(model)
    for option, needed in (("--to", to), ("--trunc", trunc), ("--cutoff", cutoff)):
        if given and needed is not None:
            raise GancliError(f"{option} {needed}: needs a model, but {model} holds images", f"leave {option} out")

    from gancli.devices import choose_device
    from gancli.metrics.comparison import MOST, of_files
    from gancli.metrics.evaluation import Evaluation, Request

    check_between("--seed", seed, 0, LARGEST_SEED - 2 * (n or MOST))  # a path has two ends
    request = Request(
        metrics=chosen_metrics(metrics),
        features=features or "",
        weights=weights,
        classifier=classifier or "",
        stats=stats,
        save_stats=save_stats is not None,
        seed=seed,
        batch=batch,
        device=choose_device(device),
    )
    if given:
        paired = any(metric.needs_pairs for metric in request.metrics.values())
        if split is not None and data is None:
            raise GancliError("--split needs --data", "--data SOURCE")
        comparison = of_files(model, data, split, n, seed, paired=paired, limits=options.parse_range(range_))
    else:
        comparison = of_model(Wanted(model, data, split, n, to, trunc, cutoff, range_), request)
    evaluation = Evaluation(request, comparison, console.progress)
    report = evaluation.run()
    _warn_of_bad(comparison)
    text = json.dumps({"metrics": report.metrics, "protocol": report.protocol}, indent=1, ensure_ascii=False)
    try:
        if output is not None:
            replace_file(output, f"{text}\n".encode())
        if save_stats is not None:
            evaluation.save_statistics(save_stats)
    finally:  # even if a file cannot be written after all, the result is shown
        if as_json:
            echo(text)
        else:
            _print(report)
    if report.failed:
        raise report.failed[0]


def _check_writable(option: str, file: Path, suffix: str) -> None:
    """Raises ``GancliError`` if a file cannot be written, and makes its folder."""
    if str(file) == "-":
        raise GancliError(f"{option} -: must name a file", "--json writes the report to stdout")
    if file.is_dir():
        raise GancliError(f"{option} {file}: is a folder, not a file", f"{option} {file / 'report'}{suffix}")
    if file.suffix != suffix and (file.is_file() or not file.exists()):  # a device is neither
        raise GancliError(f"{option} {file}: must end in {suffix}", f"{option} {file.with_suffix(suffix)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GancliError(f"{option} {file}: cannot make its folder: {error.strerror}") from error
    if not os.access(file.parent, os.W_OK):
        raise GancliError(f"{option} {file}: cannot write into {file.parent}", "choose another place")


@dataclass(frozen=True)
class Wanted:
    """The values of the options of these names, which choose the images to compare."""

    model: str
    data: str | None = None
    split: str | None = None
    n: int | None = None
    to: str | None = None
    trunc: float | None = None
    cutoff: int | None = None
    range_: str | None = None


def _are_images(argument: str) -> bool:
    """Returns whether the argument is a set of images; otherwise it names a model."""
    from gancli.data.files import ARCHIVE_ENDING

    path = Path(argument)
    try:
        if path.is_dir():
            return not (path / IN_RUN).is_file() and not (path / "config.yaml").is_file()
        endings = ARCHIVE_ENDING.search(path.name) is not None or path.suffix.lower() == ".npy"
        return path.is_file() and endings
    except OSError:
        return False


def of_model(wanted: Wanted, request: Request) -> Comparison:
    """Compares a model's images with real ones."""
    from gancli.architectures.base import Translator
    from gancli.metrics import comparison
    from gancli.metrics.features import sha256
    from gancli.schema import DataConfig

    path = _find(wanted.model)
    model, info = load_model(path, request.device, whole=False)
    way = None
    if isinstance(model, Translator):
        if wanted.trunc is not None or wanted.cutoff is not None:
            raise GancliError(f"--trunc and --cutoff: a {info.architecture} has no latents", "leave them out")
        way = way_towards(model, info, wanted.model, wanted.to)
    elif wanted.to is not None:
        raise GancliError(f"--to {wanted.to}: a {info.architecture} does not translate", "leave --to out")
    source, split = _open_real(wanted, request, info, translates=way is not None)
    return comparison.of_model(
        wanted.model,
        model,
        source,
        DataConfig.model_validate(info.config["data"]),
        request.device,
        n=wanted.n,
        seed=request.seed,
        batch=request.batch,
        way=way,
        truncation=wanted.trunc,
        cutoff=wanted.cutoff,
        classes=info.classes,
        split=split,
        about={
            "kind": info.architecture,
            "model": path.name,
            "sha256": sha256(path),
            "steps": info.step,
            "truncation": wanted.trunc,
            "cutoff": wanted.cutoff,
        },
    )


def _find(model: str) -> Path:
    """Returns the model file that the argument means; a path that leads nowhere may have meant images, too."""
    from gancli.data.files import ARCHIVE_ENDING

    named = model.rstrip("/") in known_models() or Path(model).exists()
    if not named and ("/" in model or ARCHIVE_ENDING.search(model)):
        raise GancliError(f"{model!r} is neither images nor a model: it does not exist")
    return find_model(model)


def _open_real(wanted: Wanted, request: Request, info: ModelInfo, *, translates: bool) -> tuple[Source | None, str]:
    """Opens the real images that a model needs, and returns them and the name of their part; None if it needs none."""
    from gancli.data.opening import is_name
    from gancli.data.source import check
    from gancli.metrics.comparison import open_part

    compares = any(
        metric.needs_real and (request.stats is None or metric.needs_real_images) for metric in request.metrics.values()
    )
    if not (translates or compares or wanted.data is not None):
        return None, wanted.split or "train"
    location = wanted.data or str(info.config["data"]["source"])
    if wanted.data is None and not is_name(location):
        raise GancliError(f"no real images to compare {wanted.model} with", "--data SOURCE")
    limits = options.range_for(wanted.range_, info)
    source, split = open_part(location, wanted.split, inputs=info.inputs, prefer_test=translates, limits=limits)
    reason = check(source, info.inputs)
    if reason is not None:
        raise GancliError(f"{location} cannot be compared with what {wanted.model} makes: {reason}")
    return source, split


def _warn_of_bad(comparison: Comparison) -> None:
    """Names the images that could not be read."""
    sides = (comparison.made, getattr(comparison.made, "inputs", None), comparison.real)
    bad = {name: reason for side in sides for name, reason in getattr(side, "bad", {}).items()}
    for name, reason in list(bad.items())[:NAMED]:
        console.warn(f"left out: {name}: {reason}")
    if len(bad) > NAMED:
        console.warn(f"left out: {len(bad) - NAMED} more images that cannot be read")


def _print(report: Report) -> None:
    rows = []
    for metric, values in report.metrics.items():
        better = report.better[metric]
        for name, value in values.items():
            rows.append([name, f"{value:.6g}", better])
            better = ""  # holds for the first value
    console.table(["metric", "value", "better"], rows)
    made, real = report.protocol["made"], report.protocol["real"]
    what = "images" if report.protocol["colour"] else "points"
    lines = [f"{made['images']:,} {what} of {made['name']}"]
    if real is not None and "images" in real:
        lines.append(f"against {real['images']:,} of {real['name']}")
    if real is not None and "statistics" in real:
        lines.append(f"against {real['statistics']['file']}")
    for metric, features in report.protocol["features"].items():
        lines.append(f"{metric}: {features['name']}, {features['preprocessing']}")
    console.note("; ".join(lines))
