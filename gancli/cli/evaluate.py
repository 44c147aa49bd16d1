"""``gancli evaluate``: how good images are, by the metrics of the papers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancli.cli.options import AutoDevice, Cutoff, Json, complete_model

if TYPE_CHECKING:
    from gancli.data.source import Source
    from gancli.metrics.evaluation import Comparison, Report, Request
    from gancli.metrics.images import Stored
    from gancli.modelfile import ModelInfo

MOST = 50_000
"""Images that are sampled where there are as many real ones, as the papers do."""
NAMED = 10
"""Unreadable images that are named."""


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|IMAGES",
            help="Model by name or file, or images: a folder, zip, tar or npz.",
            autocompletion=complete_model,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="SOURCE", help="Real images to compare with.  [default: the model's]"),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="LIST",
            help="fid, kid, is, prc, ppl, ssim, ms-ssim, psnr, swd, separability, class-fid, accuracy, coverage.",
        ),
    ] = "fid,kid",
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            help="Most images of either side.  [default: all; of a latent model as many as real ones, at most 50,000]",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="train|test|all",
            help="Part of SOURCE.  [default: train; of translators test, where there is one]",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DOMAIN", help="Domain to translate into.  [default: the second]")
    ] = None,
    trunc: Annotated[
        float | None, typer.Option("--trunc", metavar="T", help="Truncate, as sample does.  [default: not at all]")
    ] = None,
    cutoff: Cutoff = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="NAME",
            help="inception, vgg16, clip, dinov2, torchvision:NAME, or a TorchScript or torch.export file.  "
            "[default: inception; vgg16 for prc]",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights of --features, from a file.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option("--classifier", metavar="NAME", help="For accuracy and separability; named as --features is."),
    ] = None,
    stats: Annotated[
        Path | None, typer.Option("--stats", metavar="FILE.npz", help="Statistics of the real images, from a file.")
    ] = None,
    save_stats: Annotated[
        Path | None, typer.Option("--save-stats", metavar="FILE.npz", help="Write the statistics of the real images.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Seed of the first image, and of all that is drawn.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.json", help="Also write the JSON report to a file.")
    ] = None,
    as_json: Json = False,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Images computed at a time.")] = 64,
    device: AutoDevice = "auto",
) -> None:
    """Measure how good a model's images are, or those of a folder, and print a table.

    A latent model is sampled, a translator translates the other domain; real images are resized as they were for its
    training. Two sets of files are compared as they are. The JSON report says how the numbers came about: features and
    their weights, numbers of images, seed, truncation, the model's hash, versions.

    Statistics of the real images are kept in $GANCLI_HOME/statistics. Weights of networks are looked up in
    $GANCLI_HOME/features and downloaded where possible.
    """
    import json

    from gancli import console
    from gancli.errors import GancliError
    from gancli.generation.seeds import LARGEST

    for option, value in (("-n", n), ("--batch", batch)):
        if value is not None and value < 1:
            raise GancliError(f"{option} {value}: must be at least 1")
    if not 0 <= seed <= LARGEST - (n or MOST):
        raise GancliError(f"--seed {seed}: must lie between 0 and 2^63 - 1")
    if split not in (None, "train", "test", "all"):
        raise GancliError(f"--split {split}: unknown", "train, test or all")
    if data is not None and stats is not None and save_stats is not None:
        raise GancliError("--stats and --save-stats cannot go together", "leave out one of them")
    if weights is not None and features is None:
        raise GancliError(f"--weights {weights}: of which network?", "--features torchvision:NAME")
    given = _are_images(model)
    for option, needed in (("--to", to), ("--trunc", trunc), ("--cutoff", cutoff)):
        if given and needed is not None:
            raise GancliError(f"{option} {needed}: {model} holds images, it is no model", f"leave {option} out")

    from gancli.devices import choose_device
    from gancli.metrics.evaluation import Request, chosen_metrics
    from gancli.metrics.evaluation import evaluate as measure

    request = Request(
        metrics=chosen_metrics(metrics),
        features=features or "",
        weights=weights,
        classifier=classifier or "",
        stats=stats,
        save_stats=save_stats,
        seed=seed,
        batch=batch,
        device=choose_device(device),
    )
    wanted = Wanted(model, data, split, n, to, trunc, cutoff)
    comparison = _of_files(wanted, request) if given else _of_model(wanted, request)
    report = measure(request, comparison, console.progress)
    _warn_of_bad(comparison)
    text = json.dumps({"metrics": report.metrics, "protocol": report.protocol}, indent=1, ensure_ascii=False)
    if output is not None:
        from gancli.files import replace_file

        output.parent.mkdir(parents=True, exist_ok=True)
        replace_file(output, f"{text}\n".encode())
    if as_json:
        typer.echo(text)
        return
    _print(report)


@dataclass(frozen=True)
class Wanted:
    """What the options of these names say of the images to compare."""

    model: str
    data: str | None
    split: str | None
    n: int | None
    to: str | None
    trunc: float | None
    cutoff: int | None


def _are_images(argument: str) -> bool:
    """Returns whether the argument is a set of images; else it is meant as a model."""
    from gancli.data.source import ARCHIVE_ENDING
    from gancli.modelfile import IN_RUN

    path = Path(argument)
    try:
        if path.is_dir():
            return not (path / IN_RUN).is_file() and not (path / "config.yaml").is_file()
        return path.is_file() and ARCHIVE_ENDING.search(path.name) is not None
    except OSError:
        return False


def _of_files(wanted: Wanted, request: Request) -> Comparison:
    """Compares two sets of files, as they are."""
    from gancli.architectures.base import DataNeeds
    from gancli.data.source import open_source
    from gancli.metrics.evaluation import METRICS, Comparison
    from gancli.metrics.images import by_name

    source = open_source(wanted.model, "all", needs=DataNeeds())
    made = _stored(source, channels=3)
    about = {"kind": source.layout}
    if wanted.data is None:
        return Comparison(made.some(wanted.n, request.seed), about=about)
    known = open_source(wanted.data, wanted.split or "train", needs=DataNeeds())
    real = _stored(known, channels=3)
    # What is drawn is drawn at the size of what it is compared with.
    first = next(made.parts(1), None)
    real.side = None if first is None else first.pixels.shape[1]
    paired = any(METRICS[name].needs_pairs for name in request.metrics)
    if paired:
        made, real = by_name(made, real)
    classes = known.classes if known.classes == source.classes else ()
    return Comparison(made.some(wanted.n, request.seed), real.some(wanted.n, request.seed), paired, classes, about)


def _stored(source: Source, domain: str | None = None, **how: Any) -> Stored:
    """Returns the images of a source, or of one of its domains."""
    import numpy as np

    from gancli.errors import GancliError
    from gancli.metrics.images import Stored

    if domain is None and len(source.domains) > 1:
        raise GancliError(
            f"{source.location} holds {' and '.join(source.domains)}, but one set of images is compared with another",
            "give the folder of one of them",
        )
    domain = domain or next(iter(source.domains))
    name = source.location if len(source.domains) == 1 else f"{source.location} ({domain})"
    labels = source.labels.astype(np.int64) if source.labels is not None and source.labels.ndim == 1 else None
    prepared = f" {vars(how['preparation'])}" if "preparation" in how else ""
    return Stored(name, f"{source.fingerprint} {domain}{prepared}", source.domains[domain], labels=labels, **how)


def _prepared(source: Source, domain: str | None, info: ModelInfo, image: str) -> Stored:
    """Returns images of a source as they were resized for training, but never cropped at random."""
    from gancli.data.cache import Preparation
    from gancli.schema import DataConfig

    config = DataConfig.model_validate(info.config["data"])
    whole = config.model_copy(update={"load_size": None, "crop": "center"})
    size = info.images[image]
    preparation = Preparation.of((size.channels, size.height, size.width), whole)
    return _stored(source, domain, channels=size.channels, preparation=preparation)


def _of_model(wanted: Wanted, request: Request) -> Comparison:
    """Compares a model's images with real ones."""
    from gancli.architectures.base import Translator
    from gancli.metrics.features import sha256
    from gancli.modelfile import find_model, read_info
    from gancli.registry import load_architecture

    path = find_model(wanted.model)
    info = read_info(path)
    translates = issubclass(load_architecture(info.architecture), Translator)
    about = {
        "kind": info.architecture,
        "model": path.name,
        "sha256": sha256(path),
        "steps": info.step,
        "truncation": wanted.trunc,
        "cutoff": wanted.cutoff,
    }
    return replace((_of_translator if translates else _of_latents)(wanted, request, path, info), about=about)


def _open(wanted: Wanted, info: ModelInfo, *, prefers_test: bool = False) -> Source:
    """Opens the real images that a model is compared with: those of ``--data``, or of its training by name."""
    from gancli.config import validate_model
    from gancli.data.source import NAMES, check, open_source
    from gancli.errors import GancliError
    from gancli.registry import load_architecture

    location = wanted.data or str(info.config["data"]["source"])
    if wanted.data is None and location not in NAMES and location.partition(":")[0] != "shapes":
        raise GancliError(f"there is nothing to compare {wanted.model} with", "--data SOURCE")
    needs = load_architecture(info.architecture).data_needs(validate_model(info.architecture, info.config["model"]))
    source = open_source(location, wanted.split or "train", needs=needs)
    if prefers_test and wanted.split is None and source.has_test:
        source = open_source(location, "test", needs=needs)
    reason = check(source, needs)
    if reason is not None:
        raise GancliError(f"{location} cannot be compared with what {wanted.model} makes: {reason}")
    return source


def _of_latents(wanted: Wanted, request: Request, path: Path, info: ModelInfo) -> Comparison:
    from gancli.architectures.base import StyleModel
    from gancli.cli.latent import open_model
    from gancli.errors import GancliError
    from gancli.metrics.evaluation import METRICS, Comparison
    from gancli.metrics.images import Sampled
    from gancli.registry import load_architecture

    if wanted.to is not None:
        raise GancliError(f"--to {wanted.to}: a {info.architecture} does not translate", "leave --to out")
    opened = open_model(
        wanted.model,
        path,
        str(request.device),
        batch=request.batch,
        trunc=wanted.trunc,
        cutoff=wanted.cutoff,
        noise="random" if issubclass(load_architecture(info.architecture), StyleModel) else None,
    )
    real = None
    if request.stats is None and any(METRICS[name].needs_real for name in request.metrics):
        real = _prepared(_open(wanted, info), None, info, next(iter(info.images))).some(wanted.n, request.seed)
    count = wanted.n or min(MOST, len(real) if real else MOST)
    made = Sampled(wanted.model, opened.renderer, count, request.seed, opened.level)
    return Comparison(made, real, classes=tuple(opened.classes))


def _of_translator(wanted: Wanted, request: Request, path: Path, info: ModelInfo) -> Comparison:
    from gancli.cli.translate import translator_towards
    from gancli.errors import GancliError
    from gancli.metrics.evaluation import Comparison
    from gancli.metrics.images import Translated
    from gancli.modelfile import load_model

    if wanted.trunc is not None or wanted.cutoff is not None:
        raise GancliError(f"--trunc and --cutoff: a {info.architecture} has no latents", "leave them out")
    model, _ = load_model(path, request.device)
    translator, domain = translator_towards(model, info, wanted.model, wanted.to)
    source = _open(wanted, info, prefers_test=True)
    names = dict(zip(translator.domains, info.domains, strict=True))
    found = dict(zip(translator.domains, source.domains, strict=True))
    (other,) = (each for each in translator.domains if each != domain)
    inputs, real = (
        _prepared(source, found[side], info, names[side]).some(wanted.n, request.seed) for side in (other, domain)
    )
    made = Translated(f"{wanted.model} to {names[domain]}", translator, domain, inputs, request.device, request.seed)
    return Comparison(made, real, source.paired)


def _warn_of_bad(comparison: Comparison) -> None:
    """Names the images that could not be read."""
    from gancli import console

    sides = (comparison.made, getattr(comparison.made, "inputs", None), comparison.real)
    bad = {name: reason for side in sides for name, reason in getattr(side, "bad", {}).items()}
    for name, reason in list(bad.items())[:NAMED]:
        console.warn(f"left out: {name}: {reason}")
    if len(bad) > NAMED:
        console.warn(f"left out: {len(bad) - NAMED} more that cannot be read")


def _print(report: Report) -> None:
    from gancli import console
    from gancli.metrics.evaluation import METRICS

    rows = []
    for metric, values in report.metrics.items():
        better = METRICS[metric].better
        for name, value in values.items():
            rows.append([name, f"{value:.6g}", better])
            better = ""  # said of the first value, which the others go with
    console.table(["metric", "value", "better"], rows)
    made, real = report.protocol["made"], report.protocol["real"]
    lines = [f"{made['images']:,} images of {made['name']}"]
    if real is not None and "images" in real:
        lines.append(f"against {real['images']:,} of {real['name']}")
    if real is not None and "statistics" in real:
        lines.append(f"against {real['statistics']}")
    for metric, features in report.protocol["features"].items():
        lines.append(f"{metric}: {features['name']}, {features['preprocessing']}")
    console.note("; ".join(lines))
