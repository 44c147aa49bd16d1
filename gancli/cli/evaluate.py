"""``gancli evaluate``: how good images are, by the metrics of the papers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import AutoDevice, Cutoff, Features, Json, Weights, complete_model

if TYPE_CHECKING:
    from gancli.architectures.base import DataNeeds
    from gancli.metrics.comparison import Comparison
    from gancli.metrics.evaluation import Report, Request

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
        typer.Option(
            "--data",
            metavar="SOURCE",
            help="Real images to compare with.  [default: the model's, if built in or of torchvision]",
        ),
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
            help="Part of SOURCE, if it has parts.  [default: train; of translators test, where there is one]",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DOMAIN", help="Domain to translate into.  [default: the second]")
    ] = None,
    trunc: Annotated[
        float | None, typer.Option("--trunc", metavar="T", help="Truncate, as sample does.  [default: not at all]")
    ] = None,
    cutoff: Cutoff = None,
    features: Features = None,
    weights: Weights = None,
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
    from gancli.seeding import LARGEST_SEED

    check_count(n)
    if batch < 1:
        raise GancliError(f"--batch {batch}: must be at least 1")
    if split not in (None, "train", "test", "all"):
        raise GancliError(f"--split {split}: unknown", "train, test or all")
    if data is not None and stats is not None and save_stats is not None:
        raise GancliError("--stats and --save-stats cannot go together", "leave out one of them")
    for option, file, suffix in (("-o", output, ".json"), ("--save-stats", save_stats, ".npz")):
        if file is not None:  # before hours of work, which would be lost
            _check_writable(option, file, suffix)
    given = _are_images(model)
    for option, needed in (("--to", to), ("--trunc", trunc), ("--cutoff", cutoff)):
        if given and needed is not None:
            raise GancliError(f"{option} {needed}: {model} holds images, it is no model", f"leave {option} out")

    from gancli.architectures.base import DataNeeds
    from gancli.devices import choose_device
    from gancli.metrics.comparison import MOST, of_files
    from gancli.metrics.evaluation import METRICS, Evaluation, Request, chosen_metrics

    largest = LARGEST_SEED - 2 * (n or MOST)  # a path has two ends
    if not 0 <= seed <= largest:
        raise GancliError(f"--seed {seed}: must lie between 0 and {largest}")
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
        paired = any(METRICS[name].needs_pairs for name in request.metrics)
        if split is not None and data is None:
            raise GancliError(f"--split {split}: part of what?", "--data SOURCE")
        if split == "test" and data is not None:
            _check_test_part(data, DataNeeds())
        comparison = of_files(model, data, split or "train", n, seed, paired=paired)
    else:
        comparison = of_model(Wanted(model, data, split, n, to, trunc, cutoff), request)
    evaluation = Evaluation(request, comparison, console.progress)
    report = evaluation.run()
    _warn_of_bad(comparison)
    text = json.dumps({"metrics": report.metrics, "protocol": report.protocol}, indent=1, ensure_ascii=False)
    try:
        if output is not None:
            from gancli.files import replace_file

            replace_file(output, f"{text}\n".encode())
        if save_stats is not None:
            evaluation.save_statistics(save_stats)
    finally:  # a file that cannot be written after all does not cost the result
        if as_json:
            typer.echo(text)
        else:
            _print(report)
    if report.failed:
        raise report.failed[0]


def check_count(n: int | None) -> None:
    """Raises ``GancliError`` where ``-n`` is no number of images that can be compared."""
    from gancli.errors import GancliError

    if n is not None and not 2 <= n <= 10**9:
        raise GancliError(f"-n {n}: must lie between 2 and a thousand million, as metrics compare several images")


def _check_writable(option: str, file: Path, suffix: str) -> None:
    """Raises ``GancliError`` where a file cannot be written, before hours of work for it; makes its folder."""
    import os

    from gancli.errors import GancliError

    if str(file) == "-":
        raise GancliError(f"{option} -: writes a file", "--json writes the report to stdout")
    if file.is_dir():
        raise GancliError(f"{option} {file}: is a folder, not a file", f"{option} {file / 'report'}{suffix}")
    if file.suffix != suffix and (file.is_file() or not file.exists()):  # a device is neither
        raise GancliError(f"{option} {file}: must end in {suffix}", f"{option} {file.with_suffix(suffix)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GancliError(f"{option} {file}: cannot make its folder: {error.strerror}") from error
    if not os.access(file.parent, os.W_OK):
        raise GancliError(f"{option} {file}: nothing can be written into {file.parent}", "choose another place")


def _check_test_part(location: str, needs: DataNeeds) -> None:
    """Raises ``GancliError`` where data have no test part."""
    from gancli.data.opening import open_source
    from gancli.errors import GancliError

    if not open_source(location, needs=needs).has_test:
        raise GancliError(f"--split test: {location} has no test part", "leave --split out")


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
    from gancli.data.files import ARCHIVE_ENDING
    from gancli.modelfile import IN_RUN

    path = Path(argument)
    try:
        if path.is_dir():
            return not (path / IN_RUN).is_file() and not (path / "config.yaml").is_file()
        return path.is_file() and ARCHIVE_ENDING.search(path.name) is not None
    except OSError:
        return False


def of_model(wanted: Wanted, request: Request) -> Comparison:
    """Compares a model's images with real ones."""
    from gancli.architectures.base import LatentModel, StyleModel, Translator
    from gancli.cli.latent import open_model
    from gancli.cli.options import wrong_model
    from gancli.cli.translate import translator_towards
    from gancli.config import validate_model
    from gancli.data.files import ARCHIVE_ENDING
    from gancli.data.named import NAMES
    from gancli.data.opening import open_source
    from gancli.data.source import check
    from gancli.errors import GancliError
    from gancli.metrics.comparison import of_latents, of_translator
    from gancli.metrics.evaluation import METRICS
    from gancli.metrics.features import sha256
    from gancli.modelfile import find_model, known_models, load_model, read_info
    from gancli.registry import load_architecture
    from gancli.schema import DataConfig

    name = wanted.model
    named = name.rstrip("/") in known_models() or Path(name).exists()
    if not named and ("/" in name or ARCHIVE_ENDING.search(name)):
        raise GancliError(f"there are neither images nor a model {name!r}")
    path = find_model(name)
    info = read_info(path)
    kind = load_architecture(info.architecture)
    translates = issubclass(kind, Translator)
    if translates and not (wanted.trunc is None and wanted.cutoff is None):
        raise GancliError(f"--trunc and --cutoff: a {info.architecture} has no latents", "leave them out")
    if not translates and wanted.to is not None:
        raise GancliError(f"--to {wanted.to}: a {info.architecture} does not translate", "leave --to out")
    source, split = None, wanted.split or "train"
    kinds = [METRICS[metric] for metric in request.metrics]
    without_file = any(each.needs_real and (request.stats is None or each.needs_real_images) for each in kinds)
    if translates or wanted.data is not None or without_file:
        location = wanted.data or str(info.config["data"]["source"])
        if wanted.data is None and location not in NAMES and location.partition(":")[0] != "shapes":
            raise GancliError(f"there is nothing to compare {name} with", "--data SOURCE")
        needs = kind.data_needs(validate_model(info.architecture, info.config["model"]))
        if split == "test":
            _check_test_part(location, needs)
        source = open_source(location, split, needs=needs)
        if translates and wanted.split is None and source.has_test:
            split = "test"
            source = open_source(location, split, needs=needs)
        reason = check(source, needs)
        if reason is not None:
            raise GancliError(f"{location} cannot be compared with what {name} makes: {reason}")
    data = DataConfig.model_validate(info.config["data"])
    shapes = [(size.channels, size.height, size.width) for size in (info.images[domain] for domain in info.domains)]
    about = {
        "kind": info.architecture,
        "model": path.name,
        "sha256": sha256(path),
        "steps": info.step,
        "truncation": wanted.trunc,
        "cutoff": wanted.cutoff,
    }
    if translates:
        assert source is not None
        model, _ = load_model(path, request.device)
        translator, to = translator_towards(model, info, name, wanted.to)
        by_domain = dict(zip(translator.domains, shapes, strict=True))
        comparison = of_translator(
            name, translator, to, source, data, by_domain, request.device, n=wanted.n, seed=request.seed
        )
        return replace(comparison, about=about, split=split)
    if not issubclass(kind, LatentModel):
        model, _ = load_model(path, request.device)
        raise wrong_model(name, model, info, "makes no images")
    opened = open_model(
        name,
        path,
        str(request.device),
        batch=request.batch,
        trunc=wanted.trunc,
        cutoff=wanted.cutoff,
        noise="random" if issubclass(kind, StyleModel) else None,
    )
    comparison = of_latents(
        name,
        opened.renderer,
        source,
        data,
        shapes[0],
        n=wanted.n,
        seed=request.seed,
        threshold=opened.renderer.truncation,
        classes=opened.classes if opened.classes == info.classes else (),
    )
    return replace(comparison, about=about, split=split)


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

    rows = []
    for metric, values in report.metrics.items():
        better = report.better[metric]
        for name, value in values.items():
            rows.append([name, f"{value:.6g}", better])
            better = ""  # said of the first value, which the others go with
    console.table(["metric", "value", "better"], rows)
    made, real = report.protocol["made"], report.protocol["real"]
    lines = [f"{made['images']:,} images of {made['name']}"]
    if real is not None and "images" in real:
        lines.append(f"against {real['images']:,} of {real['name']}")
    if real is not None and "statistics" in real:
        lines.append(f"against {real['statistics']['file']}")
    for metric, features in report.protocol["features"].items():
        lines.append(f"{metric}: {features['name']}, {features['preprocessing']}")
    console.note("; ".join(lines))
