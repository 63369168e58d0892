"""Broken and hostile parallel inputs: every unit has its row, or there is one clear error; memory stays bounded."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.curation.parallel.made import Texts, lines, tmx
from tests.jobs.parallel_runs import Row, Run, finish, ray_session, run_parallel, translations

MB = 1 << 20
Rows = dict[str, list[Row]]


@pytest.fixture(autouse=True, scope="module")
def one_ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ray_session(tmp_path_factory.mktemp("ray")):
        yield


def good(number: int) -> Texts:
    """Return three pairs that every stage keeps, for each number others."""
    return translations(3 * number, 3)


def sides(rows: Texts, change: Callable[[str], str] = str, end: str = "\n") -> tuple[bytes, bytes]:
    """Return the two aligned files; `change` is made to the source of the second pair."""
    changed = [(change(src) if place == 1 else src, tgt) for place, (src, tgt) in enumerate(rows)]
    return lines((src for src, _ in changed), end), lines((tgt for _, tgt in changed), end)


def tsv(rows: Texts) -> bytes:
    return lines("\t".join(row) for row in rows)


def jsonl(rows: Texts) -> list[str]:
    return [json.dumps({"translation": {"de": src, "en": tgt}}, ensure_ascii=False) for src, tgt in rows]


def declared(number: int, declarations: str, text: str) -> bytes:
    """Return a TMX whose document type declares something, with a segment that uses it behind three good ones."""
    more = f'<tu><tuv xml:lang="de"><seg>{text}</seg></tuv><tuv xml:lang="en"><seg>x</seg></tuv></tu>'
    return tmx(good(number), head=f'<?xml version="1.0"?><!DOCTYPE tmx {declarations}>', more=more).encode()


def latin_1(rows: Texts) -> tuple[bytes, bytes]:
    german, english = sides(rows)
    return german.decode().replace("ß", "ss").replace(",", "é").encode("latin-1"), english


def scored(rows: Texts, *scores: str) -> bytes:
    return lines(f'{line[:-1]}, "score": {own}}}' for line, own in zip(jsonl(rows), scores, strict=True))


def parquet(rows: list[dict[str, str | None]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def bomb_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("de", "en"):
            archive.writestr(f"bomb.de-en.{label}", bytes(100 * MB))
    return out.getvalue()


def zip_with_a_flipped_bit() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for label, data in zip(("de", "en"), sides(good(28)), strict=True):
            archive.writestr(f"x.de-en.{label}", data)
    return out.getvalue().replace(b"\n", b" ", 1)  # two lines become one, which only the checksum tells


def bomb_zst() -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        for _ in range(1024):
            writer.write(bytes(MB))
    return out.getvalue()


_LAUGHS = "[" + "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10)) + '<!ENTITY l0 "lol">]'
_BROKEN_JSON = (
    '{"translation": {"de": "halb', "null", "[1, 2]", '{"translation": {"de": "nur eine Seite"}}',
    '{"translation": {"de": "ein halbes Zeichen \\ud800", "en": "half of a character"}}',
    '{"translation": {"de": 5, "en": "five"}}', "[" * 100_000, "", "9" * 5000,
)  # fmt: skip

# Names end in the languages of their sides; the second pair of each triple is the odd one.
MOSES: dict[str, tuple[bytes, bytes]] = {
    "06-bom": (b"\xef\xbb\xbf" + sides(good(6))[0], b"\xef\xbb\xbf" + sides(good(6))[1]),
    "08-crlf": sides(good(8), end="\r\n"),
    "09-breaks": sides(good(9), lambda text: text.replace(" ", "\u2028", 1).replace(",", ",\x85\x0b\x0c\x1c\r")),
    "10-tabs": sides(good(10), lambda text: text.replace(" ", "\t")),
    "11-nul": sides(good(11), lambda text: text.replace("e", "e\0")),
    "12-long-line": sides(good(12), lambda text: "a" * (10 * MB)),
    "20-empty": (b"", b""),
    "21-blank": (b"\n \n\t\n\r\n", b"\n\n\n\n"),
    "25-latin-1": latin_1(good(25)),
    "26-one-side": sides(good(26), lambda text: ""),
    "27-invisible": sides(good(27), lambda text: "\u200b\ufeff\x01"),
    "37-no-last-line-feed": (sides(good(37))[0][:-1], sides(good(37))[1]),
}  # fmt: skip
PACKED: dict[str, tuple[bytes, bytes]] = {
    "13-truncated": (
        gzip.compress(lines(str(k) * 9 for k in range(40_000)), mtime=0)[:-30_000],
        gzip.compress(lines(str(k) * 7 for k in range(40_000)), mtime=0),
    ),
    "14-trailing": (
        gzip.compress(sides(good(14))[0]) + b"garbage" * 99,
        gzip.compress(sides(good(14))[1]) + bytes(512),
    ),
    "34-no-gzip": sides(good(34)),
}  # fmt: skip
FILES: dict[str, Callable[[], bytes]] = {
    "01-laughs.tmx": lambda: declared(1, _LAUGHS, "&l9;"),
    "02-external.tmx": lambda: declared(2, '[<!ENTITY x SYSTEM "file:///etc/passwd">]', "&x;"),
    "03-quadratic.tmx": lambda: declared(3, f'[<!ENTITY x "{"x" * 100_000}">]', "&x;" * 10_000),
    "04-far-dtd.tmx": lambda: declared(4, 'SYSTEM "http://127.0.0.1:9/tmx14.dtd"', "good"),
    "05-parameter.tmx": lambda: declared(5, '[<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]', "x"),
    "07-utf-16.tmx": lambda: tmx(good(7), head='<?xml version="1.0" encoding="UTF-16"?>').encode("utf-16"),
    "15-bomb.zip": bomb_zip,
    "16-bomb.de-en.tsv.zst": bomb_zst,
    "17-ragged.de-en.tsv": lambda: tsv(good(17)) + b"alone\na\tb\tc\n\n\t\n" + tsv(translations(7000, 20)),
    "18-broken.jsonl": lambda: lines([jsonl(good(18))[0], *_BROKEN_JSON, *jsonl(good(18))[1:]]),
    "19-fake.parquet": lambda: b"PAR1 but nothing else PAR1",
    "22-empty.de-en.tsv": lambda: b"",
    "23-empty.jsonl": lambda: b"",
    "24-empty.parquet": lambda: b"",
    "28-flipped-bit.zip": zip_with_a_flipped_bit,
    "29-undefined-entity.tmx": lambda: (
        tmx(good(29)).replace("</seg>", "&nbsp;</seg>", 1).encode()
    ),
    "30-cut.tmx": lambda: tmx(good(30)).encode()[:-60],
    "31-deep.tmx": lambda: tmx(good(31), more="<tu>" + "<hi>" * 100_000).encode(),
    "32-surrogate.tmx": lambda: tmx(good(32)).replace("</seg>", "&#xD800;</seg>", 1).encode(),
    "33-scores.jsonl": lambda: scored(good(33), "1e999", '"nan"', '"x"'),
    "35-endless-comment.tmx": lambda: tmx(good(35), more="<!-- " + "x" * (10 * MB)).encode(),
    "36-new\nline \x1b[31m=[bold].de-en.tsv": lambda: tsv(good(36)),
    "38-nulls.parquet": lambda: parquet(
        [{"de": src if place else None, "en": tgt} for place, (src, tgt) in enumerate(good(38))]
    ),
}  # fmt: skip
KEPT, DOCTYPE = "kept", "failed:doctype_declaration"
# What became of the units of each input, in their order.
EXPECTED: dict[str, list[str]] = {
    "01-laughs.tmx": [DOCTYPE],
    "02-external.tmx": [DOCTYPE],
    "03-quadratic.tmx": [DOCTYPE],
    "04-far-dtd.tmx": [KEPT, KEPT, KEPT, KEPT],
    "05-parameter.tmx": [DOCTYPE],
    "06-bom.de-en.de+en": [KEPT, KEPT, KEPT],
    "07-utf-16.tmx": [KEPT, KEPT, KEPT],
    "08-crlf.de-en.de+en": [KEPT, KEPT, KEPT],
    "09-breaks.de-en.de+en": [KEPT, KEPT, KEPT],
    "10-tabs.de-en.de+en": [KEPT, KEPT, KEPT],
    "11-nul.de-en.de+en": [KEPT, KEPT, KEPT],
    "12-long-line.de-en.de+en": [KEPT, "dropped:line_too_long", KEPT],
    "14-trailing.de-en.de+en": [KEPT, KEPT, KEPT, "failed:unreadable_bytes"],
    "15-bomb.zip": ["failed:decompression_budget"],
    "16-bomb.de-en.tsv.zst": ["failed:decompression_budget"],
    "17-ragged.de-en.tsv": [
        KEPT, KEPT, KEPT, "failed:column_count", "failed:column_count", "skipped:blank_line", "skipped:blank_line",
        *[KEPT] * 20,
    ],
    "18-broken.jsonl": [
        KEPT, "failed:malformed_json", "failed:malformed_json", "failed:malformed_json", "failed:missing_text",
        "failed:not_utf8", "failed:missing_text", "failed:malformed_json", "skipped:blank_line",
        "failed:malformed_json", KEPT, KEPT,
    ],
    "19-fake.parquet": ["failed:unreadable_bytes"],
    "20-empty.de-en.de+en": [],
    "21-blank.de-en.de+en": ["skipped:blank_line"] * 4,
    "22-empty.de-en.tsv": [],
    "23-empty.jsonl": [],
    "24-empty.parquet": ["failed:unreadable_bytes"],
    "25-latin-1.de-en.de+en": ["failed:not_utf8"] * 3,
    "26-one-side.de-en.de+en": [KEPT, "dropped:empty_side", KEPT],
    "27-invisible.de-en.de+en": [KEPT, "dropped:empty_side", KEPT],
    "29-undefined-entity.tmx": ["failed:malformed_xml", KEPT, KEPT],
    "31-deep.tmx": [KEPT, KEPT, KEPT, "failed:malformed_xml"],
    "32-surrogate.tmx": ["failed:malformed_xml", KEPT, KEPT],
    "33-scores.jsonl": [KEPT, KEPT, KEPT],
    "34-no-gzip.de-en.de+en": [KEPT, KEPT, KEPT],
    "35-endless-comment.tmx": [KEPT, KEPT, KEPT, "failed:malformed_xml"],
    "36-new\nline \x1b[31m=[bold].de-en.tsv": [KEPT, KEPT, KEPT],
    "37-no-last-line-feed.de-en.de+en": [KEPT, KEPT, KEPT],
    "38-nulls.parquet": ["failed:missing_text", KEPT, KEPT],
}  # fmt: skip


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).write_bytes(content())
    for suffix, pairs in (("", MOSES), (".gz", PACKED)):
        for name, data in pairs.items():
            for label, side in zip(("de", "en"), data, strict=True):
                (folder / f"{name}.de-en.{label}{suffix}").write_bytes(side)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One job over all of them, of which no rule and no threshold takes anything."""
    source = tmp_path_factory.mktemp("malformed")
    write_files(source)
    return finish("de-en", source, tmp_path_factory.mktemp("out"), "--skip", "rules,laser")


@pytest.fixture(scope="module")
def rows(job: Run) -> Rows:
    found: Rows = defaultdict(list)
    for row in job.rows("ledger"):
        found[str(row["warc_file"])].append(row)
    return found


@pytest.fixture(scope="module")
def pairs(job: Run) -> list[Row]:
    return job.rows("pairs")


def ended(rows: list[Row]) -> list[str]:
    return [str(row["outcome"]) if row["outcome"] == "kept" else f"{row['outcome']}:{row['rule']}" for row in rows]


def texts_of(pairs: list[Row], name: str) -> Texts:
    own = [row for row in pairs if row["source"] == name]
    return [(str(row["src_text"]), str(row["tgt_text"])) for row in own]


def test_every_input_is_listed_and_every_unit_has_its_row(job: Run, rows: Rows) -> None:
    inputs = job.summary()["inputs"]
    assert isinstance(inputs, list)
    names = {entry["name"] for entry in inputs}
    assert names == {*FILES, *(f"{name}.de-en.de+en" for name in (*MOSES, *PACKED))}
    assert len(names) >= 35
    assert set(rows) <= names
    for own in rows.values():
        assert [row["sequence"] for row in own] == list(range(len(own)))
        assert all(row["outcome"] == "kept" or (row["stage"] and row["rule"]) for row in own)
    assert job.summary()["records"] == sum(map(len, rows.values()))
    assert "Traceback" not in job.stderr
    assert "\x1b" not in job.stdout + job.stderr


@pytest.mark.parametrize("name", EXPECTED, ids=lambda own: own.split(".")[0].split("\n")[0])
def test_outcomes(rows: Rows, name: str) -> None:
    assert ended(rows.get(name, [])) == EXPECTED[name]


def test_what_is_cut_off_ends_with_one_row_for_the_rest(rows: Rows) -> None:
    truncated = ended(rows["13-truncated.de-en.de+en"])
    assert 100 < len(truncated) < 40_000
    assert truncated == ["kept"] * (len(truncated) - 1) + ["failed:unreadable_bytes"]
    flipped = ended(rows["28-flipped-bit.zip"])
    assert flipped[-1] == "failed:unreadable_bytes"
    cut = ended(rows["30-cut.tmx"])
    assert cut[:2] == ["kept", "kept"]
    assert cut[-1] == "failed:malformed_xml"
    assert len(cut) == 3


@pytest.mark.parametrize("number", [6, 7, 8, 14, 33, 34, 36, 37])
def test_good_texts_come_through_as_they_are(pairs: list[Row], number: int) -> None:
    name = next(name for name in EXPECTED if name.startswith(f"{number:02d}-"))
    assert texts_of(pairs, name) == good(number)


def test_odd_characters_neither_move_a_line_nor_stay(pairs: list[Row]) -> None:
    for number in (9, 10, 11):
        name = next(name for name in EXPECTED if name.startswith(f"{number:02d}-"))
        found, expected = texts_of(pairs, name), good(number)
        assert [own[1] for own in found] == [own[1] for own in expected]
        assert (found[0], found[2]) == (expected[0], expected[2])
        assert found[1][0].split() == expected[1][0].split()
        assert not set(found[1][0]) & set("\0\u2028\x85\x0b\x0c\x1c\r\ufeff")


def test_nothing_outside_of_an_input_is_read(job: Run, pairs: list[Row]) -> None:
    """Neither a file that an entity names, nor what entities would grow to."""
    secret = Path("/etc/passwd").read_text().splitlines()[0]
    for row in (*pairs, *job.rows("documents")):
        text = f"{row.get('src_text')} {row.get('tgt_text')} {row.get('text')}"
        assert secret not in text
        assert "lollol" not in text
        assert len(text) < 100_000


def test_scores_that_are_no_numbers_are_none(pairs: list[Row]) -> None:
    assert {row["input_score"] for row in pairs if row["source"] == "33-scores.jsonl"} == {None}


def test_no_worker_took_more_memory_than_a_worker_may(job: Run) -> None:
    """Of a line of 10 MB, bombs of 100 MB and 1 GB, and entities that would fill any memory."""
    peaks = []
    for child in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{child.pid}/status")
        if not status.is_file():
            pytest.skip("no /proc on this system")
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        peaks.append(int(fields.get("VmHWM", "0 kB").split()[0]) >> 10)
    assert len(peaks) > 2
    assert max(peaks) < 600, sorted(peaks)


# --- one clear error --------------------------------------------------------------------------------------------------


def refused(source: Path, out: Path, pair: str = "de-en") -> str:
    """Return what a job says that ends with a mistake of the user's and publishes nothing."""
    done = run_parallel(pair, source, out, "--laser", "off")
    assert done.code == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert not done.folder.exists()
    return done.stderr


@pytest.mark.parametrize(("german", "english"), [(5, 1203), (1203, 5), (3, 0), (0, 1)])
@pytest.mark.parametrize("packed", [False, True])
def test_sides_of_different_lengths_are_named_with_their_counts(
    german: int, english: int, packed: bool, tmp_path: Path
) -> None:
    data = {f"s.de-en.{label}": b"text\n" * count for label, count in (("de", german), ("en", english))}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    source = tmp_path / "s.*"
    if packed:
        source = tmp_path / "s.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in data.items():
                archive.writestr(name, content)
    said = refused(source, tmp_path / "out")
    assert f"s.de-en.de has {german:,} lines and" in said
    assert f"s.de-en.en has {english:,}: they are not aligned" in said


UNFIT: dict[str, tuple[str, bytes, str]] = {
    "a TMX without anything": ("x.tmx", b"", "x.tmx is no TMX"),
    "a web page": ("x.tmx", b"<!DOCTYPE html><html><body>gone</body></html>", "x.tmx is no TMX"),
    "a TMX of other languages": ("x.tmx", tmx(good(1), ("el", "tr")).encode(), "its language labels are: 'el', 'tr'"),
    "a TMX in an unknown encoding": ("x.tmx", b'<?xml version="1.0" encoding="klingon"?><tmx/>', "encoding 'klingon'"),
    "text that is no zip": ("x.zip", b"<html>not found</html>", "is no zip file, or a damaged one"),
    "a truncated zip": ("x.zip", zip_with_a_flipped_bit()[:300], "is no zip file, or a damaged one"),
    "a TSV of one column": ("x.de-en.tsv", b"a b\nc d\n", "a table of 1 columns of no known layout"),
    "UTF-16": ("x.de-en.tsv", tsv(good(1)).decode().encode("utf-16"), "is UTF-16 or UTF-32 text: convert it first"),
    "JSONL without sides": ("x.jsonl", b'{"a": 1}\n', "no columns for de and en; set columns.src and columns.tgt"),
    "XML of another kind": ("x.xml", b"<a/>", "none of the 1 files at"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_is_no_parallel_input_is_named(kind: str, tmp_path: Path) -> None:
    name, content, message = UNFIT[kind]
    (tmp_path / name).write_bytes(content)
    said = refused(tmp_path / name, tmp_path / "out")
    assert message in said
    assert name in said


@pytest.mark.parametrize("bad", ['{"translation": null}', "{}", "parquet"])
def test_a_row_without_its_mapping_costs_no_other_row(bad: str, tmp_path: Path) -> None:
    if bad == "parquet":
        held: list[object] = [json.loads(line) for line in (*jsonl(good(1)), '{"translation": null}', *jsonl(good(2)))]
        pq.write_table(pa.Table.from_pylist(held), tmp_path / "x.parquet")
    else:
        (tmp_path / "x.jsonl").write_bytes(lines([*jsonl(good(1)), bad, *jsonl(good(2))]))
    done = finish("de-en", tmp_path / "x.*", tmp_path / "out", "--skip", "rules,laser")
    assert ended(done.rows("ledger")) == [KEPT, KEPT, KEPT, "failed:missing_text", KEPT, KEPT, KEPT]


def test_a_file_name_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    with open(bytes(tmp_path) + b"/x\xff.de-en.tsv", "wb") as file:
        file.write(tsv(good(1)))
    refused(tmp_path, tmp_path / "out")


# --- nothing at all, and languages under other labels -----------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n\n \n"])
def test_an_input_without_pairs_gives_an_empty_corpus(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.de-en.tsv").write_bytes(content)
    done = finish("de-en", tmp_path / "x.de-en.tsv", tmp_path / "out", "--laser", "off")
    counts = {kind: len(done.rows(kind)) for kind in ("pairs", "measures", "documents", "ledger")}
    assert counts == {"pairs": 0, "measures": 0, "documents": 0, "ledger": content.count(b"\n")}


LABELS = {"zh": ("zh-Hans", "en_US"), "pt": ("pt_br", "en-GB"), "fr": ("fr-CA", "eng")}


@pytest.mark.parametrize("code", LABELS)
def test_labels_with_regions_and_scripts_mean_their_language(code: str, tmp_path: Path) -> None:
    rows = [(f"{tgt} ({code})", tgt) for _, tgt in translations(0, 8)]
    other, english = LABELS[code]
    for side, label in enumerate((other, english)):
        (tmp_path / f"x.{label}").write_bytes(lines(row[side] for row in rows[:3]))
    (tmp_path / "y.tmx").write_text(tmx(rows[3:6], (other, english)), encoding="utf-8")
    texts = [json.dumps({"translation": {english: tgt, other: src}}) for src, tgt in rows[6:]]
    (tmp_path / "z.jsonl").write_bytes(lines(texts))
    done = finish(f"{code}-en", tmp_path, tmp_path / "out", "--skip", "rules,laser")
    found = [(row["src_lang"], row["tgt_lang"], row["src_text"], row["tgt_text"]) for row in done.rows("pairs")]
    assert found == [(code, "en", *row) for row in rows]
