"""What `make mixture` says to wrong input: one line, exit code 2, and nothing half-written."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mixing.cli import main
from mixing.tokens.probe import file_probe
from mixing.tokens.token_source import file_checksum
from tests.mixing.mixture.token_folders import TOKENIZER, even_rows, write_source

Data = dict[str, object]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Return a folder of tokens as `make tokens` leaves it, probes of the files included."""
    for name, count in (("el", 3000), ("kk", 900), ("tr", 8000)):
        add_probes(write_source(tmp_path / "tokens", name, [even_rows(30, count)], validation=even_rows(2, 20)))
    return tmp_path / "tokens"


def add_probes(folder: Path) -> None:
    facts = json.loads((folder / "tokens.json").read_text())
    for shard in facts["shards"]:
        for what, ending in (("bin", "bin"), ("idx", "idx"), ("documents", "documents.parquet")):
            shard[f"{what}_probe"] = file_probe(folder / f"{shard['name']}.{ending}")
    (folder / "tokens.json").write_text(json.dumps(facts))


def plain() -> Data:
    stage = {
        "name": "one",
        "tokens": 1000,
        "learning_rate": {"schedule": "cosine", "peak": 1e-5, "final": 1e-6},
        "categories": {
            "low": {"share": 0.4, "sources": ["el", "kk"], "spread": {"shares": {"el": 0.5, "kk": 0.5}}},
            "high": {"share": 0.6, "sources": ["tr"], "where": {"tokens": {"min": 1}}},
        },
    }
    return copy.deepcopy({"name": "m", "sequence_length": 16, "max_epochs": 1, "stages": [stage]})


def dump(data: Data) -> str:
    return yaml.safe_dump(data, sort_keys=False)


def command(tokens: Path, text: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the command as a user does, and return its exit code."""
    (tokens.parent / "m.yaml").write_text(text)
    own = ["--mix", str(tokens.parent / "m.yaml"), "--tokens", str(tokens), "--out", str(tokens.parent / "mixtures")]
    monkeypatch.setattr(sys, "argv", ["mixing", "mixture", *own, *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def put(place: str, value: object) -> Callable[[Data], None]:
    """Return what puts a value at a dotted place of a mixture."""

    def change(data: Data) -> None:
        above: object = data
        *keys, last = place.split(".")
        for key in keys:
            above = above[int(key)] if isinstance(above, list) else above[key]  # type: ignore[index]
        above[last] = value  # type: ignore[index]

    return change


LOW, HIGH, RATE = "stages.0.categories.low", "stages.0.categories.high", "stages.0.learning_rate"
WRONG_SETTINGS = [
    (put(f"{LOW}.share", 0.5), "the categories' shares of tokens sum to 1.1, not to 1: 0.1 too much (low, high)"),
    (put(f"{LOW}.share", 0.3), "sum to 0.9, not to 1: 0.1 are missing"),
    (put(f"{LOW}.spread", {"shares": {"el": 0.5, "kk": 0.6}}), "the shares of the spread of tokens sum to 1.1"),
    (put(f"{LOW}.share", float("nan")), "share: nan is not a number of 0 or more"),
    (put(f"{LOW}.share", float("inf")), "share: inf is not a number of 0 or more"),
    (put(f"{LOW}.share", -0.4), "share: -0.4 is not a number of 0 or more"),
    (put(f"{LOW}.spread", {"shares": {"el": float("nan"), "kk": 1}}), "nan is not a number of 0 or more"),
    (put(f"{LOW}.spread", {"temperature": float("nan")}), "nan is not a number of 0 or more"),
    (put("max_epochs", float("nan")), "max_epochs: nan is not a number of 0 or more"),
    (put("stages.0.tokens", float("nan")), "nan is not a number of tokens"),
    (put(f"{RATE}.peak", float("nan")), "stages.0.learning_rate.peak: Input should be"),
    (put(f"{RATE}.final", float("-inf")), "stages.0.learning_rate.final: Input should be"),
    (put(f"{HIGH}.where", {"tokens": {"min": float("nan")}}), "a condition takes finite numbers"),
    (put("tokenizer", "nowhere/tokenizer.json"), "'nowhere/tokenizer.json' is neither the SHA-256 of a tokenizer nor"),
    (put("tokenizer", ""), "tokenizer: String should have at least 1 character"),
    (put("tokenizer", "e" * 64), f"asks for the tokenizer {'e' * 64}, and el was made with test ({'a' * 64})"),
]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was said, which is one line, without a traceback."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize("before", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("change", "message"), WRONG_SETTINGS, ids=[message[:30] for _, message in WRONG_SETTINGS])
def test_wrong_settings_are_one_line_and_leave_what_there_was(
    tokens: Path,
    change: Callable[[Data], None],
    message: str,
    before: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if before:
        make_plain(tokens, monkeypatch, capsys)
    there = files(tokens.parent / "mixtures")
    data = plain()
    change(data)
    assert command(tokens, dump(data), monkeypatch) == 2
    assert message in one_line(capsys)
    assert files(tokens.parent / "mixtures") == there


def make_plain(tokens: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tokens, dump(plain()), monkeypatch) == 0
    capsys.readouterr()
    assert {path.name for path in (tokens.parent / "mixtures" / "m").iterdir()} == {
        "manifest.json",
        "report.html",
        "slices",
    }


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, without those that only keep others out or are set aside."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found if not path.name.startswith(".")}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def empty(tokens: Path) -> None:
    add_probes(write_source(tokens, "kk", [[]], validation=even_rows(2, 20)))


def other_tokenizer(tokens: Path) -> None:
    add_probes(write_source(tokens, "kk", [even_rows(30, 900)], tokenizer={**TOKENIZER, "sha256": "d" * 64}))


def without_tokenizer(tokens: Path) -> None:
    facts = json.loads((tokens / "kk" / "tokens.json").read_text())
    del facts["tokenizer"]
    (tokens / "kk" / "tokens.json").write_text(json.dumps(facts))


def nan_in_facts(tokens: Path) -> None:
    text = (tokens / "kk" / "tokens.json").read_text()
    assert '"tokens": 900' in text
    (tokens / "kk" / "tokens.json").write_text(text.replace('"tokens": 900', '"tokens": NaN'))


WRONG_TOKENS: list[tuple[Callable[[Path], object], str]] = [
    (empty, "the source 'kk' is empty: it has no tokens for training; take it out of the mixture"),
    (
        lambda tokens: flip(tokens / "kk" / "part-00000.bin"),
        "kk/part-00000.bin is not the file that `make tokens` wrote",
    ),
    (
        lambda tokens: flip(tokens / "kk" / "part-00000.idx"),
        "kk/part-00000.idx is not the file that `make tokens` wrote",
    ),
    (lambda tokens: (tokens / "kk" / "part-00000.bin").write_bytes(b""), "kk/part-00000.bin is not the file that"),
    (lambda tokens: (tokens / "kk" / "part-00000.bin").unlink(), "cannot read"),
    (other_tokenizer, "the sources of a mixture need one tokenizer: el was made with test"),
    (without_tokenizer, "tokens.json"),
    (nan_in_facts, "tokens.json"),
    (lambda tokens: (tokens / "kk" / "tokens.json").write_bytes(b"\x80{"), "tokens.json"),
    (lambda tokens: (tokens / "kk" / "tokens.json").unlink(), "no finished tokens in"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_TOKENS, ids=range(len(WRONG_TOKENS)))
def test_wrong_tokens_are_one_line_and_leave_what_there_was(
    tokens: Path,
    change: Callable[[Path], object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_plain(tokens, monkeypatch, capsys)
    there = files(tokens.parent / "mixtures")
    change(tokens)
    assert command(tokens, dump(plain()), monkeypatch) == 2
    line = one_line(capsys)
    assert message in line
    assert "kk" in line
    assert files(tokens.parent / "mixtures") == there


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing"),
        ("name: [", "is not valid YAML"),
        ("- name", "must hold a mapping"),
        ("name: m\nstages: 3\nsequence_length: 16\n", "stages"),
        ("\0", "is not valid YAML"),
    ],
)
def test_what_is_no_mixture_is_one_line(
    tokens: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tokens, text, monkeypatch) == 2
    assert message in one_line(capsys)
    assert not (tokens.parent / "mixtures").exists()


def test_a_changed_byte_that_no_probe_reads_is_found_by_a_check(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tokens / "tr" / "part-00000.bin"
    large.write_bytes(bytes(1 << 20))
    facts = json.loads((tokens / "tr" / "tokens.json").read_text())
    facts["shards"][0] |= {"bin_bytes": 1 << 20, "bin_probe": file_probe(large), "bin_checksum": file_checksum(large)}
    (tokens / "tr" / "tokens.json").write_text(json.dumps(facts))
    with large.open("r+b") as file:
        file.seek(8000)
        file.write(b"x")
    assert file_probe(large) == facts["shards"][0]["bin_probe"]
    make_plain(tokens, monkeypatch, capsys)
    assert command(tokens, dump(plain()), monkeypatch, "--check") == 2
    assert "tr/part-00000.bin is not the file that `make tokens` wrote" in one_line(capsys)
