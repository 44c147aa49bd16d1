"""The tools behind the documentation, on small trees of their own: what is generated, and how README blocks are run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from gancli import config, registry
from gancli.architectures.dcgan import DCGAN
from gancli.schema import AdamConfig, Ramp, RMSpropConfig, SGDConfig

ROOT = Path(__file__).parents[2]
PAGE = "".join(
    f"Before {name}.\n\n<!-- generated: {name} -->\nold\n<!-- end -->\n\nAfter {name}.\n"
    for name in ("commands", "configuration", "architectures", "aids", "training-steps", "presets", "metrics")
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a copy of the tools, a README without marks and one page with all of them."""
    (tmp_path / "tools").mkdir()
    for tool in ("docs.py", "readme.py"):
        (tmp_path / "tools" / tool).write_text((ROOT / "tools" / tool).read_text())
    (tmp_path / "README.md").write_text("# Title\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    return tmp_path


def load(tree: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs", tree / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def part(name: str) -> str:
    """What tools/docs.py makes of the code; once, since it builds every architecture."""
    text: str = load(ROOT).PARTS[name]()
    return text


def docs(tree: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """Runs tools/docs.py and returns its exit status; None is success."""
    monkeypatch.setattr(sys, "argv", ["docs.py", *words])
    module = load(tree)
    monkeypatch.setattr(module, "PARTS", {name: partial(part, name) for name in module.PARTS})
    try:
        module.main()
    except SystemExit as left:
        return left.code
    return None


def rows(table: str) -> list[list[str]]:
    """The cells of every line of Markdown tables that begins with a code span."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()
        if line.startswith("| `")
    ]


def test_pages_are_written_checked_and_left_alone(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tree / "docs" / "page.md"
    assert "python tools/docs.py" in docs(tree, monkeypatch, "--check")
    shown = capsys.readouterr().out
    assert "-old" in shown
    assert "+Usage: gancli train" in shown
    assert page.read_text() == PAGE

    assert docs(tree, monkeypatch) is None
    assert capsys.readouterr().out == "docs/page.md\n"
    written = page.read_text()
    assert "old\n" not in written
    assert re.findall(r"^(?:Before|After) [\w-]+\.$", written, re.MULTILINE) == re.findall(
        "^[BA].*$", PAGE, re.MULTILINE
    )

    assert docs(tree, monkeypatch, "--check") is None
    assert docs(tree, monkeypatch) is None
    assert capsys.readouterr().out == ""

    page.write_text(written.replace("Adversarial", "Friendly"))
    assert "stale" in docs(tree, monkeypatch, "--check")
    page.write_text(written.replace("After presets.", "By hand."))
    assert docs(tree, monkeypatch, "--check") is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("generated: presets", "generated: poems", "nothing generates 'poems'"),
        ("<!-- generated: presets -->\nold\n<!-- end -->", "", "no page has <!-- generated: presets -->"),
        ("old\n<!-- end -->\n\nAfter commands", "After commands", "commands --> has no <!-- end -->"),
        ("old\n<!-- end -->\n\nAfter metrics", "After metrics", "are not in pairs"),
        ("Before commands.", "<!-- end -->", "are not in pairs"),
    ],
)
def test_marks_that_are_wrong(
    tree: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tree / "docs" / "page.md"
    broken = PAGE.replace(old, new)
    assert broken != PAGE
    page.write_text(broken)
    assert words in docs(tree, monkeypatch)
    assert page.read_text() == broken


COMMANDS = (
    *("train", "resume", "sample", "interpolate", "truncate", "style-mix", "translate", "evaluate", "presets"),
    *("models", "data", "import", "export", "doctor"),
)


def test_help_pages_are_complete_and_need_no_torch(tree: Path) -> None:
    script = (
        "import runpy, sys; print(runpy.run_path('tools/docs.py')['commands'](), end='');"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    pages = []
    for columns in ("40", "200"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": columns}
        done = subprocess.run([sys.executable, "-c", script], cwd=tree, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        pages.append(done.stdout)
    assert pages[0] == pages[1]
    assert max(map(len, pages[0].splitlines())) in range(90, 101)
    titles = re.findall(r"^## gancli ?([\w-]*)$", pages[0], re.MULTILINE)
    assert titles == ["", *COMMANDS]
    usages = re.findall(r"^Usage: gancli ([\w-]*)", pages[0], re.MULTILINE)
    assert usages == titles
    assert pages[0].count("--dry-run") == 1


def test_every_key_is_there_with_its_default(tree: Path) -> None:
    page = load(tree).configuration()
    assert re.findall("^## model, for (.*)$", page, re.MULTILINE) == registry.architecture_names()
    others = re.compile(r"^## model, for (?!dcgan$).*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    table = {row[0].strip("`"): row[1:] for row in rows(others.sub("", page))}
    resolved = config.resolve("dcgan-shapes", sets=["train.evaluate={}"])

    def leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            inside = isinstance(value, dict) and value and prefix != "model.optimizers."
            found += leaves(value, f"{prefix}{key}.") if inside else [f"{prefix}{key}"]
        return found

    keys = leaves(resolved.to_dict())
    assert len(keys) > 40
    assert set(keys) <= table.keys()
    sections = {key.rpartition(".")[0] for key in table} | {"train.turns"}
    rest = table.keys() - set(keys) - sections
    assert {key for key in rest if ".optimizers." not in key} == {
        *(f"train.turns.*.{key}" for key in ("every", "unit", "offset", "above", "below")),
        *Ramp.model_fields,
    }
    every = {name for section in (AdamConfig, RMSpropConfig, SGDConfig) for name in section.model_fields}
    assert {key for key in rest if ".optimizers." in key} == {f"model.optimizers.*.{name}" for name in every}

    defaults = config.resolve("dcgan", sets=["train.average={}", "train.evaluate={}", "model={}"]).to_dict()
    compared = 0
    for key in keys:
        section, _, rest = key.partition(".")
        if section not in ("model", "data", "train") or key in ("train.epochs", "train.batch", "data.flip"):
            continue
        value = defaults[section]
        for part in rest.split("."):
            value = value[part]
        shown = yaml.safe_load(table[key][2].strip("`"))
        if section == "model" and isinstance(value, dict):  # an optimizer, without what its kind has by default
            value = {name: inner for name, inner in value.items() if name in shown}
        assert (float(shown) if isinstance(value, float) else shown) == value, key
        compared += 1
    assert compared > 40


def test_each_kind_of_optimizer_is_shown_once(tree: Path) -> None:
    page = load(tree).configuration()
    titles = re.findall(r"^## model\.optimizers, for (\w+)$", page, re.MULTILINE)
    assert titles == ["adam", "rmsprop", "sgd"]
    assert page.count("`model.optimizers.*.betas`") == 1
    progan = page[page.index("## model, for progan") :]
    row = next(row for row in rows(progan) if row[0] == "`model.optimizers.D`")
    assert row[1] == "`adam`, `rmsprop` or `sgd`"
    assert row[3] == "`{kind: adam, lr: 0.001, betas: [0, 0.99]}`"


def test_types_and_ranges_in_words(tree: Path) -> None:
    table = {row[0].strip("`"): row[1:] for row in rows(load(tree).configuration())}
    assert table["train.precision"][:3] == ["`fp32`, `bf16` or `fp16`", "", "`fp32`"]
    assert table["train.seed"][:3] == ["whole number", "≥ 0, < 2^63", "`0`"]
    assert table["train.clip_gradients"][:3] == ["number or null", "> 0", "`null`"]
    assert table["train.average"][:3] == ["section or null", "", "`null`"]
    assert table["model.optimizers.*.betas"][:3] == ["list of number, number or ramp", "≥ 0, < 1", "`[0.5, 0.999]`"]
    assert table["model.optimizers.*.eps"][2] == "`1e-8`"
    assert table["architecture"][2] == "required"


def test_every_training_step_stands_on_one_page_the_oldest_first() -> None:
    sections = part("training-steps").split("## ")[1:]
    names = [section.split(" ")[0] for section in sections]
    order = ["GAN", "DCGAN", "Pix2Pix", "WGAN", "CycleGAN", "WGANGP", "ProGAN", "StyleGAN", "UGATIT", "R3GAN"]
    assert [name for name in names if name in order] == order
    assert len(names) == len(registry.architecture_names())
    assert len(names) == len(registry.architecture_names())
    assert all("\n    update(" in section and "next(data)" in section for section in sections)


def test_architectures_and_presets(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(tree)
    foreign = [*registry.architecture_names(), "somebody-elses"]
    monkeypatch.setattr(registry, "architecture_names", lambda: foreign)
    table = {name: row for name, *row in rows(module.architectures())}
    assert table.keys() == {f"`{name}`" for name in registry.architecture_names() if name != "somebody-elses"}
    assert {name: row[-1] for name, row in table.items()}.items() >= {
        "`cgan`": "images with a class each",
        "`gan-toy`": "points",
        "`cyclegan`": "2 sets of images",
        "`dcgan`": "images",
        "`pix2pix`": "pairs of images",
        "`progan`": "images",
        "`stylegan`": "images",
        "`ugatit`": "2 sets of images",
    }.items()
    # A pool is a part of the architecture, but no network.
    assert table["`cyclegan`"][1].split(", ")[-1] == "discriminator_b 2.76 M"
    paper, networks, _ = table["`dcgan`"]
    assert "(https://arxiv.org/abs/1511.06434)" in paper
    counts = {n: sum(p.numel() for p in net.parameters()) for n, net in DCGAN(DCGAN.Config()).named_children()}
    assert networks == ", ".join(f"{n} {count / 1e6:.2f} M" for n, count in counts.items())

    listed = {row[0].strip("`"): row[1:] for row in rows(module.presets())}
    assert listed.keys() == registry.preset_paths().keys()
    assert listed["dcgan-mnist"][:2] == ["`dcgan`", "32 px, grey"]
    assert listed["dcgan"][1] == "64 px, RGB"


README = """# Title

<!-- install -->
```sh
pip install -e .
```

<!-- run -->
```sh
echo one >file
echo "$GANCLI_HOME" >>file
```

```python
print("no command")
```

<!-- shown -->
```sh
touch never
```

<!-- run -->
```sh
echo two >>file
```

<!-- test -->
```sh
pytest
```
"""


def readme(tree: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (tree / "README.md").write_text(text)
    return subprocess.run(
        [sys.executable, "tools/readme.py", *words], cwd=tree, capture_output=True, text=True, check=False
    )


def test_commands_are_printed(tree: Path) -> None:
    assert readme(tree, README, "commands", "install").stdout == "pip install -e .\n"
    assert readme(tree, README, "commands", "test").stdout == "pytest\n"


def test_examples_are_run_in_order_in_their_directory(tree: Path) -> None:
    done = readme(tree, README, "run", "a/new/one")
    assert done.returncode == 0, done.stderr
    place = tree / "a" / "new" / "one"
    assert (place / "file").read_text() == f"one\n{place}/home\ntwo\n"
    assert [path.name for path in place.iterdir()] == ["file"]
    assert re.fullmatch(
        r"-- README.md:9\n-- README.md:9 took \d+\.\d s\n-- README.md:24\n-- README.md:24 took \d+\.\d s\n", done.stdout
    )


@pytest.mark.parametrize("command", ["false\ntrue", "echo $not_set", "false | true", "exit 3"])
def test_an_example_that_fails(tree: Path, command: str) -> None:
    done = readme(tree, README.replace('echo "$GANCLI_HOME" >>file', command), "run", "one")
    assert done.returncode == 1
    assert "README.md:9: these commands failed with exit code" in done.stderr
    assert (tree / "one" / "file").read_text() == "one\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<!-- shown -->\n", "", "README.md:18: a ```sh block needs one of install, test, run, shown"),
        ("<!-- shown -->\n", "<!-- shown -->\n\n", "README.md:19: <!-- shown --> must be on the line before"),
        ("<!-- shown -->", "<!-- show -->", "README.md:19: a ```sh block needs one of"),
        ("```python", "<!-- run -->\n```python", "README.md:15: a ```sh block"),
        ("```python", "```bash", "README.md:14: use ```sh for blocks of commands"),
        ("```python", "  ```sh", "README.md:14: a ```sh block needs one of"),
        ("pytest\n```\n", "pytest\n", "README.md:29: the block never ends"),
        ("<!-- test -->", "<!-- run -->", "exactly one block of commands must have <!-- test -->"),
        ("<!-- run -->", "<!-- install -->", "exactly one block of commands must have <!-- install -->"),
        ("pytest\n```\n", "pytest\n```\n<!-- run -->\n", "at the end"),
    ],
)
def test_a_readme_that_is_wrong(tree: Path, old: str, new: str, words: str) -> None:
    done = readme(tree, README.replace(old, new), "run", "one")
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tree / "one").exists()
