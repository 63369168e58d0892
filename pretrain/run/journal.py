"""What a run writes about itself: `log.jsonl`, a row a step; `evaluations.jsonl`; TensorBoard's files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from configs.errors import UserError
from curation.store import write_text_atomically
from pretrain.evaluate.evaluation import Change, Evaluation

LOG_FILE = "log.jsonl"
EVALUATIONS_FILE = "evaluations.jsonl"
Value = float | int | str | None
Row = Mapping[str, Value | Mapping[str, float]]


class Journal:
    """The log of a run, on the rank that writes it; on others nothing is written."""

    def __init__(self, folder: Path, after_step: int, writes: bool) -> None:
        """Go on after a step: rows of later ones, which a killed run left, are taken out.

        Raises:
            UserError: the log of an earlier run cannot be read.
        """
        self._path = folder / LOG_FILE
        self._board: SummaryWriter | None = None
        self._file = None
        if writes:
            kept = [row for row in read_rows(self._path) if _step(row) <= after_step] if after_step else []
            write_text_atomically(self._path, "".join(_line(row) for row in kept))
            self._file = self._path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=after_step + 1)

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()

    def step(self, row: Row) -> None:
        """Write the row of a step."""
        if self._file is not None:
            self._file.write(_line(row))
            self._file.flush()
        self.scalars(row, "train")

    def scalars(self, row: Row, group: str) -> None:
        """Write the numbers of a row for TensorBoard, by its step."""
        if self._board is None:
            return
        step = _step(row)
        for name, value in row.items():
            numbers = value.items() if isinstance(value, Mapping) else [("", value)]
            for part, number in numbers:
                if name != "step" and isinstance(number, int | float) and math.isfinite(number):
                    self._board.add_scalar(f"{group}/{name}{'/' + part if part else ''}", number, step)


class Evaluations:
    """`evaluations.jsonl`: a row for each time the held-out texts were read."""

    def __init__(self, folder: Path, after_step: int, writes: bool) -> None:
        """Go on after a step."""
        self._path, self._writes = folder / EVALUATIONS_FILE, writes
        if writes:
            kept = [row for row in read_rows(self._path) if _step(row) <= after_step] if after_step else []
            write_text_atomically(self._path, "".join(_line(row) for row in kept))

    def write(
        self, found: Evaluation, changes: Sequence[Change], tokens: int, stage: str, alarms: Sequence[str]
    ) -> None:
        """Add a row, in place of one of the same step."""
        if not self._writes:
            return
        rows = [row for row in read_rows(self._path) if _step(row) != found.step]
        own = [change._asdict() | {"change": change.change} for change in changes]
        row = {**found.to_json(), "tokens": tokens, "stage": stage, "changes": own, "warnings": list(alarms)}
        write_text_atomically(self._path, "".join(_line(each) for each in (*rows, row)))


def held_out_scalars(found: Evaluation, changes: Sequence[Change]) -> Row:
    """Return the numbers of an evaluation by language, and by source."""
    sources = {own.source: own.bits_per_byte for own in found.sources if own.bits_per_byte is not None}
    rises = {own.language: own.change for own in changes if own.change is not None}
    languages = {own.language: own.bits_per_byte for own in found.languages() if own.bits_per_byte is not None}
    return {"step": found.step, "bits_per_byte": languages, "source_bits_per_byte": sources, "change": rises}


def recent_losses(folder: Path, count: int) -> list[float]:
    """Return the finite losses of the last steps in the log."""
    losses = [row.get("loss") for row in read_rows(folder / LOG_FILE)]
    return [own for own in losses if isinstance(own, float)][-count:]


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of a log; a last line that a killed run left half-written is left out.

    Raises:
        UserError: another line is not JSON.
    """
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line else None
        except ValueError as error:
            if number == len(lines):
                return
            raise UserError(f"{path}: line {number} is not JSON; move the file away to go on without it") from error
        if isinstance(row, dict):
            yield row


def _step(row: Mapping[str, object]) -> int:
    step = row.get("step")
    return step if isinstance(step, int) else 0


def _line(row: Mapping[str, object]) -> str:
    return json.dumps({name: _plain(value) for name, value in row.items()}, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """Return a value as JSON can hold it: numbers that are not finite by name."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(own) for name, own in value.items()}
    return value
