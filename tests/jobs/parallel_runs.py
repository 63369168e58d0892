"""Running parallel jobs for the tests: the command lines of users in this process, on one Ray session for many jobs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curation.cli import app as curation_app
from curation.runner import Runner
from curation.stage import Result, make_task
from mixing.cli import app as mixing_app
from tests.jobs.conftest import read_rows
from tests.jobs.in_process import run_here

Texts = list[tuple[str, str]]
Row = dict[str, object]
KINDS = ("pairs", "ledger", "measures", "documents")

_SUBJECTS = (
    ("Der Lehrer", "The teacher"), ("Die Ärztin", "The doctor"), ("Mein Nachbar", "My neighbour"),
    ("Unsere Köchin", "Our cook"), ("Der alte Fischer", "The old fisherman"), ("Ihr Bruder", "Her brother"),
    ("Die junge Pilotin", "The young pilot"), ("Der Bürgermeister", "The mayor"),
)  # fmt: skip
_VERBS = (
    ("verkauft", "sells"), ("sucht", "is looking for"), ("repariert", "repairs"), ("malt", "paints"),
    ("verschenkt", "gives away"), ("fotografiert", "photographs"), ("versteckt", "hides"),
)  # fmt: skip
_OBJECTS = (
    ("das rote Fahrrad", "the red bicycle"), ("einen kleinen Tisch", "a small table"),
    ("die kaputte Uhr", "the broken clock"), ("ein altes Boot", "an old boat"),
    ("den Schlüssel zum Keller", "the key to the cellar"),
)  # fmt: skip
_PLACES = (
    ("am Bahnhof", "at the station"), ("im Garten", "in the garden"), ("vor der Schule", "in front of the school"),
    ("auf dem Markt", "at the market"), ("neben der Kirche", "next to the church"), ("am Fluss", "by the river"),
)  # fmt: skip
_ENDS = (
    ("und niemand weiß warum", "and nobody knows why"), ("aber das Wetter ist schlecht", "but the weather is bad"),
    ("denn morgen beginnt der Urlaub", "because the holidays begin tomorrow"),
    ("obwohl es schon sehr spät ist", "although it is already very late"),
)  # fmt: skip


def translations(first: int, count: int) -> Texts:
    """Return German sentences and their English translations that every rule lets pass; other numbers, other texts."""
    rows = []
    for number in range(first, first + count):
        chosen = []
        for choices in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES, _ENDS):
            number, place = divmod(number, len(choices))
            chosen.append(choices[place])
        german, english = ([words[side] for words in chosen] for side in (0, 1))
        rows.append(tuple(f"{' '.join(own[:4])}, {own[4]}." for own in (german, english)))
    return [(german, english) for german, english in rows]


@dataclass(frozen=True)
class Run:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str
    out: Path
    pair: str

    @property
    def folder(self) -> Path:
        return self.out / "parallel" / self.pair

    @property
    def work(self) -> Path:
        return self.out / ".work" / f"parallel-{self.pair}"

    def rows(self, kind: str) -> list[Row]:
        return read_rows(self.folder / kind)

    def summary(self) -> Row:
        loaded = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        assert isinstance(loaded, dict)
        return loaded

    def fingerprint(self) -> dict[str, str]:
        """Return the bytes of all that has to be the same from run to run."""
        files = sorted(path for kind in KINDS for path in (self.folder / kind).glob("*"))
        assert files
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_parallel(pair: str, source: object, out: Path, *options: object) -> Run:
    """Run `python -m curation parallel`, with its exit code and its output, in this process."""
    command = ["parallel", "--pair", pair, "--input", str(source), "--out", str(out), *map(str, options)]
    return Run(*run_here(lambda: curation_app(args=command)), out, pair)


def run_tell(pair: str, out: Path, *options: object) -> Run:
    """Run `python -m mixing tell` in this process."""
    command = ["tell", "--pair", pair, "--out", str(out), *map(str, options)]
    return Run(*run_here(lambda: mixing_app(args=command)), out, pair)


def finish(pair: str, source: object, out: Path, *options: object) -> Run:
    """Run both commands; they have to succeed."""
    done = run_parallel(pair, source, out, *options)
    assert done.code == 0, done.stderr
    told = run_tell(pair, out)
    assert told.code == 0, told.stderr
    return done


def do_nothing(payload: object, out: Path, scratch: Path) -> Result:
    return Result()


@contextmanager
def ray_session(folder: Path) -> Iterator[None]:
    """Start Ray once: the jobs that run meanwhile in this process find it there and leave it running."""
    before = dict(os.environ)
    try:
        with Runner(2, 0) as runner:
            runner.run("start", [make_task("start", "0", do_nothing, None, {}, folder)])
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
