"""The floors of the project: who may import whom, read from the imports of every source file.

The checker is tested on a small made-up tree, where it must find each kind of fault.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A package imports only packages of lower floors: so `filters` and `dedup` never import each other.
FLOORS = {"configs": 1, "filters": 2, "dedup": 2, "curation": 3, "mixing": 4, "pretrain": 5}
# Heavy libraries, and how the paths of all files of the floors begin that may import them.
CONFINED = {
    "ray": ("curation/runner.py", "pretrain/cluster.py", "pretrain/sweep/launch/launch.py"),
    "torch": ("pretrain/", "filters/parallel/laser"),  # laser.py, and laser_lstm.py and others that it loads when asked
}


def packages(root: Path) -> set[str]:
    """Return the top-level packages of the project: folders that hold Python files, the unbuilt ones left out."""
    return {path.parent.name for path in root.glob("*/*.py")}


def imported_modules(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every module that a file imports, wherever in the file the import stands."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}" if module else alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            names = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            yield from ((node.lineno, name) for name in names if isinstance(name, str))


def faults(root: Path) -> list[str]:
    """Return one line for each import that breaks a rule of the floors, and each package that cannot be run."""
    found = set[str]()
    own = packages(root)
    for package in sorted(own & FLOORS.keys()):
        for path in sorted((root / package).rglob("*.py")):
            place = path.relative_to(root).as_posix()
            for line, name in imported_modules(path, root):
                top = name.partition(".")[0]
                lower = top == package or FLOORS.get(top, len(FLOORS)) < FLOORS[package]
                if (top in FLOORS or top in own) and not lower:
                    found.add(f"{place}:{line}: {package} must not import {top}")
                if top in CONFINED and not place.startswith(CONFINED[top]):
                    found.add(f"{place}:{line}: {top} is imported only in {' and '.join(CONFINED[top])}")
    for package in sorted(own):
        if (root / package / "cli.py").exists() and not (root / package / "__main__.py").exists():
            found.add(f"{package}: has a cli.py and no __main__.py")
    return sorted(found)


def test_the_project_keeps_its_floors() -> None:
    assert faults(ROOT) == []


def test_the_packages_are_looked_at() -> None:
    """So that a moved folder does not make the test above pass on nothing."""
    assert {"configs", "filters", "dedup", "curation"} <= packages(ROOT)
    seen = {name for _, name in imported_modules(ROOT / "filters" / "metrics.py", ROOT)}
    assert {"numpy", "filters.words.find_words"} <= seen


SOUND = {
    "configs/__init__.py": "",
    "configs/load.py": "import yaml\nfrom configs import errors\nfrom . import errors\nfrom .errors import UserError\n",
    "configs/errors.py": "import filtersomething\nimport dedup_of_others.x\n",
    "filters/rules.py": "import configs.load\nfrom configs.load import StrictModel\n",
    "filters/parallel/laser.py": "def load():\n    import torch\n    from .. import rules\n",
    "dedup/exact.py": "from configs import load\n",
    "curation/runner.py": "import ray\nfrom ray.util import queue\nfrom dedup.exact import x\nimport filters.rules\n",
    "curation/cli.py": "from curation import runner\n",
    "curation/__main__.py": "from curation.cli import main\n",
    "mixing/blend.py": "from curation.runner import x\nimport configs\n",
    "pretrain/train.py": "import torch\nfrom mixing import blend\nfrom filters.rules import decide\n",
    "pretrain/cluster.py": "import ray\nimport torch.distributed as dist\n",
    "pretrain/sweep/launch/launch.py": "import ray\n",
    "tests/test_rules.py": "import ray, torch, curation\n",
    "benchmarks/speed.py": "import torch\nfrom pretrain import train\n",
}


def build(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_a_sound_tree_has_no_fault(tmp_path: Path) -> None:
    assert faults(build(tmp_path, SOUND)) == []


def test_packages_that_are_not_built_yet_are_no_fault(tmp_path: Path) -> None:
    assert faults(build(tmp_path, {"configs/load.py": "import yaml\n", "notes/read.md": "import ray"})) == []


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ("configs/bad.py", "import filters.rules\n", "configs/bad.py:1: configs must not import filters"),
        ("filters/bad.py", "\nfrom dedup import exact\n", "filters/bad.py:2: filters must not import dedup"),
        ("dedup/bad.py", "from filters.rules import decide\n", "dedup/bad.py:1: dedup must not import filters"),
        ("filters/bad.py", "import os, curation.runner as r\n", "filters/bad.py:1: filters must not import curation"),
        (
            "filters/parallel/bad.py",
            "from ...curation import runner\n",
            "filters/parallel/bad.py:1: filters must not import curation",
        ),
        ("curation/bad.py", "from mixing.blend import x\n", "curation/bad.py:1: curation must not import mixing"),
        ("mixing/bad.py", "import pretrain\n", "mixing/bad.py:1: mixing must not import pretrain"),
        ("dedup/bad.py", "import pretrain.train\n", "dedup/bad.py:1: dedup must not import pretrain"),
        ("curation/bad.py", "from tests import strategies\n", "curation/bad.py:1: curation must not import tests"),
        ("pretrain/bad.py", "import benchmarks.speed\n", "pretrain/bad.py:1: pretrain must not import benchmarks"),
        (
            "filters/bad.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mixing import blend\n",
            "filters/bad.py:3: filters must not import mixing",
        ),
        (
            "dedup/bad.py",
            "class A:\n    def f(self):\n        if self:\n            import filters\n",
            "dedup/bad.py:4: dedup must not import filters",
        ),
        (
            "configs/bad.py",
            "import importlib\nx = importlib.import_module('curation.runner')\n",
            "configs/bad.py:2: configs must not import curation",
        ),
        ("configs/bad.py", "x = __import__('filters')\n", "configs/bad.py:1: configs must not import filters"),
        (
            "curation/bad.py",
            "from ray import remote\n",
            "curation/bad.py:1: ray is imported only in " + " and ".join(CONFINED["ray"]),
        ),
        (
            "pretrain/bad.py",
            "def f():\n    import ray.tune\n",
            "pretrain/bad.py:2: ray is imported only in " + " and ".join(CONFINED["ray"]),
        ),
        (
            "curation/deep/bad.py",
            "import torch\n",
            "curation/deep/bad.py:1: torch is imported only in pretrain/ and filters/parallel/laser",
        ),
        (
            "filters/laser.py",
            "from torch.nn import Module\n",
            "filters/laser.py:1: torch is imported only in pretrain/ and filters/parallel/laser",
        ),
        ("mixing/cli.py", "import typer\n", "mixing: has a cli.py and no __main__.py"),
    ],
)
def test_each_fault_is_found(place: str, text: str, expected: str, tmp_path: Path) -> None:
    assert faults(build(tmp_path, SOUND | {place: text})) == [expected]


def test_no_change_of_a_measure_or_a_rule_reads_an_archive_again() -> None:
    """What the crawl runs is part of its tasks' identity: what it must not depend on must not be imported by it."""
    seen, waiting = set[str](), ["curation.crawl"]
    while waiting:
        module = waiting.pop()
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        for _, name in imported_modules(path, ROOT):
            waiting += [part for part in (name, name.rpartition(".")[0]) if part]
    assert {"curation.extract", "filters.langid"} <= seen
    assert not seen & {"filters.metrics", "filters.rules", "filters.calibrate", "dedup.minhash", "curation.resources"}
