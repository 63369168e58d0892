"""Downloads as they come: every line of them is counted."""

import gzip
import zipfile
from pathlib import Path

import pytest

from curation.parallel.pairs import Pair
from tests.curation.parallel.made import read_all, rules, texts


@pytest.mark.parametrize(
    ("name", "pair"),
    [("en-fr", "en-fr"), ("en-ru", "ru-en"), ("en-ru2", "en-ru"), ("en-zh", "en-zh"), ("en-zh_health", "zh-en")],
)
def test_moses_zips(data_folder: Path, name: str, pair: str) -> None:
    path = data_folder / "opus" / f"{name}.txt.zip"
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if "MACOSX" not in member]
        sides = [
            archive.read(next(m for m in members if m.endswith(f".{code}"))).decode().split("\n")[:-1]
            for code in pair.split("-")
        ]
        links = sum(archive.read(m).count(b"<link ") for m in members if m.endswith(".xml"))
    units = read_all(path, pair)
    assert len(units) == len(sides[0]) == len(sides[1])
    assert texts(units) == [row for row in zip(*sides, strict=True) if "".join(row).strip()]
    assert rules(units)["pair"] == links
    assert all(unit.src_origin and unit.tgt_origin for unit in units if isinstance(unit, Pair))


def test_two_aligned_files(data_folder: Path) -> None:
    units = read_all(data_folder / "opus" / "bible-uedin-v1.de-en.*.gz")
    assert rules(units) == {"pair": 62195}
    for side, code in enumerate(("de", "en")):
        packed = (data_folder / "opus" / f"bible-uedin-v1.de-en.{code}.gz").read_bytes()
        assert [row[side] for row in texts(units)] == gzip.decompress(packed).decode().split("\n")[:-1]


@pytest.mark.parametrize("code", ["de", "el", "ro"])
def test_pairs_that_people_judged(data_folder: Path, code: str) -> None:
    paths = sorted((data_folder / "paracrawl_human").glob(f"*/sorted.en-{code}"))
    units = read_all(data_folder / "paracrawl_human", f"en-{code}")
    rows = [line.split("\t") for path in paths for line in path.read_text("utf-8").split("\n")[:-1]]
    assert texts(units) == [(row[2], row[3]) for row in rows]
    for unit, row in zip(units, rows, strict=True):
        assert isinstance(unit, Pair)
        assert (unit.src_origin, unit.tgt_origin) == (row[0].strip(), row[1].strip())
        assert unit.score == float(row[4] if len(row) < 9 and not row[6][:1].isdigit() else row[6])
