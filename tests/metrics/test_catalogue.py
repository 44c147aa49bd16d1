"""Which metrics there are: gancli's own, and those that packages add by entry points."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reports import evaluate, flat

from gancli import registry
from gancli.cli.app import run
from gancli.errors import GancliError
from gancli.metrics import catalogue

DOCS = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
(EXAMPLE,) = re.findall("^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs packages with entry points for metrics; the module ``my_metrics`` is that of docs/evaluation.md."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "my_metrics.py").write_text(f"{EXAMPLE}\nclass Other:\n    name = 'other'\n")
    monkeypatch.syspath_prepend(site)

    def add(package: str, **points: str) -> None:
        info = site / f"{package.replace('-', '_')}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in points.items()]
        (info / "entry_points.txt").write_text(f"[gancli.metrics]\n{''.join(lines)}")
        registry.plugins.cache_clear()

    yield add
    registry.plugins.cache_clear()
    sys.modules.pop("my_metrics", None)


def test_every_built_in_metric_is_found_by_its_own_name() -> None:
    assert list(catalogue.BUILT_IN)[:4] == ["fid", "kid", "is", "prc"]
    assert len(catalogue.BUILT_IN) == 13
    for name in catalogue.BUILT_IN:
        metric = catalogue.load_metric(name)
        assert metric.name == name
        assert metric.title
    assert list(catalogue.chosen_metrics("kid, fid,kid")) == ["kid", "fid"]


def test_a_packages_metric_is_measured_named_in_errors_and_in_the_help(
    here: Path, install: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    assert "no metric 'brightness'" in evaluate(capfd, "made", "--metrics", "brightness", code=2)["err"]
    assert '[project.entry-points."gancli.metrics"]\nbrightness = "my_metrics:Brightness"\n' in DOCS
    install("my-metrics", brightness="my_metrics:Brightness")
    found = evaluate(capfd, "made", "--metrics", "brightness,is", "--features", "tiny.pt")
    dark = evaluate(capfd, "real", "--metrics", "brightness")
    assert 110 < flat(found)["brightness"] < 145
    assert flat(dark)["brightness"] == pytest.approx(0.8 * flat(found)["brightness"], rel=0.1)
    assert flat(found)["is"] > 1
    assert "did you mean 'brightness'?" in evaluate(capfd, "made", "--metrics", "brightnes", code=2)["err"]
    assert "coverage, brightness" in " ".join(evaluate(capfd, "made", "--metrics", "?", code=2)["err"].split())
    assert run(["evaluate", "--help"]) == 0
    assert "coverage, brightness. [default: fid,kid]" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_module:Metric", "the metric 'other' of my-metrics cannot be imported: No module named"),
        (
            "my_metrics:Missing",
            "the metric 'other' of my-metrics cannot be imported: module 'my_metrics' has no attribute",
        ),
        ("my_metrics:Other", "my_metrics:Other of my-metrics is not a subclass of"),
        ("my_metrics:Brightness", "is not a subclass of gancli.metrics.base.Metric with the name 'other'"),
    ],
)
def test_a_broken_package_is_named_only_when_its_metric_is_used(
    install: Callable[..., None], value: str, message: str
) -> None:
    install("my-metrics", other=value)
    assert catalogue.chosen_metrics("swd").keys() == {"swd"}
    with pytest.raises(GancliError) as caught:
        catalogue.chosen_metrics("swd,other")
    assert message in caught.value.message
    assert caught.value.message.startswith("--metrics swd,other: ")
    assert caught.value.hint == "update or uninstall my-metrics"


def test_the_name_of_a_built_in_metric_is_refused(install: Callable[..., None]) -> None:
    install("my-metrics", swd="my_metrics:Brightness", brightness="my_metrics:Brightness")
    with pytest.raises(GancliError, match="my-metrics adds a metric 'swd', but that is") as caught:
        catalogue.load_metric("swd")
    assert "uninstall my-metrics" in caught.value.hint
    assert catalogue.load_metric("fid").name == "fid"
    assert catalogue.load_metric("brightness").name == "brightness"
    assert catalogue.metric_names().count("swd") == 1
