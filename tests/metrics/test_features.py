"""Networks that extract features: torch-fidelity's, torchvision's, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch_fidelity
from reports import evaluate, flat
from tiny import Tiny, folder

from gancli.metrics.trust import trust


def test_weights_that_are_nowhere_are_named_with_their_place(
    here: Path, gancli_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from urllib.error import URLError

    def no_network(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(here / "hub"))
    err = evaluate(capfd, "made", "--data", "real", code=2)["err"]
    assert "weights-inception-2015-12-05-6726825d.pth" in err
    assert "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2" in err
    assert str(gancli_home / "features") in err
    monkeypatch.setattr(torch.hub, "load", no_network)
    err = evaluate(capfd, "made", "--data", "real", "--features", "dinov2", code=2)["err"]
    assert "dinov2_vitl14_pretrain.pth, SHA-256 d5383ea8f4877b24" in err
    assert str(here / "hub/checkpoints/dinov2_vitl14_pretrain.pth") in err
    # Anything may lie there: it is read without running code in it.
    (gancli_home / "features").mkdir(exist_ok=True)
    (gancli_home / "features/weights-inception-2015-12-05-6726825d.pth").write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    assert "without running code" in evaluate(capfd, "made", "--data", "real", code=2)["err"]
    assert not (here / "x").exists()


def test_torchvision_networks_take_weights_of_their_convolutions_or_all(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(weights=None)
    torch.save(network.state_dict(), here / "all.pth")
    torch.save(network.features.state_dict(), here / "features.pth")
    (made, real) = (folder(here / f"few{seed}", 4, seed) for seed in (3, 4))
    words = (str(made), "--data", str(real), "--metrics", "kid", "--features", "torchvision:squeezenet1_1")
    whole, part = (flat(evaluate(capfd, *words, "--weights", f"{name}.pth")) for name in ("all", "features"))
    assert whole == pytest.approx(part, rel=1e-6)
    torch.save({"a": torch.zeros(1)}, here / "other.pth")
    err = evaluate(capfd, *words, "--weights", "other.pth", code=2)["err"]
    assert "does not hold the weights of squeezenet1_1" in err


def test_a_torch_export_file_says_the_same(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    for name, shapes in (("free", (free,)), ("fixed", None)):
        torch.export.save(torch.export.export(Tiny(), (images,), dynamic_shapes=shapes), here / f"{name}.pt2")
        trust([here / f"{name}.pt2"])
    words = ("made", "--data", "real", "--metrics", "fid,is", "--features")
    expected = flat(evaluate(capfd, *words, "tiny.pt"))
    assert flat(evaluate(capfd, *words, "free.pt2")) == pytest.approx(expected, rel=1e-5)
    assert "fixed.pt2 cannot take images uint8 [4, 3, 24, 24]" in evaluate(capfd, *words, "fixed.pt2", code=2)["err"]


@pytest.mark.slow
def test_inception_is_that_of_torch_fidelity(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    torch.save({}, here / "none.pth")
    with pytest.MonkeyPatch.context() as patch:  # it is never built without weights
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path=str(here / "none.pth"))
    torch.save(network.state_dict(), here / "random.pth")
    theirs = torch_fidelity.calculate_metrics(
        input1="made",
        input2="real",
        feature_extractor_weights_path=str(here / "random.pth"),
        cuda=False,
        kid=True,
        isc=True,
        fid=True,
        kid_subset_size=40,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    words = ("--metrics", "kid,is,fid", "--features", "inception", "--weights", "random.pth", "--seed", "2020")
    ours = flat(evaluate(capfd, "made", "--data", "real", *words))
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6, abs=1e-9)
    assert ours["is"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
