"""What a run writes about itself: `log.jsonl`, a row a step; `evaluations.jsonl`; TensorBoard's files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from torch.utils.tensorboard import SummaryWriter

from configs.errors import UserError
from pretrain.evaluate.evaluation import Change, Evaluation
from pretrain.run.history import HeldOutHistory, History

LOG_FILE = "log.jsonl"
EVALUATIONS_FILE = "evaluations.jsonl"
# TensorBoard gets the shares of sources every so many steps: there may be hundreds of sources.
_SHARES_EVERY = 10
Value = float | int | str | None
Row = Mapping[str, Value | Mapping[str, float]]


class Journal:
    """The log of a run, on the rank that writes it; on others nothing is written. `history` is what is in it."""

    def __init__(self, folder: Path, after_step: int, writes: bool) -> None:
        """Go on after a step: rows of later ones, which a killed run left, are taken out.

        Raises:
            UserError: the log of an earlier run cannot be read.
        """
        self.history = History()
        self._board_folder, self._after_step = folder / "tensorboard", after_step
        self._board: SummaryWriter | None = None
        self._file: BinaryIO | None = None
        if writes:
            self._file = _go_on(folder / LOG_FILE, after_step, self.history.take)

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()

    def step(self, row: Row) -> None:
        """Write the row of a step."""
        if self._file is None:
            return
        self._file.write(_line(row))
        self._file.flush()
        self.history.take(row)
        self.scalars(row if _step(row) % _SHARES_EVERY == 1 else {**row, "shares": None}, "train")

    def sync(self) -> None:
        """Make the rows last: those up to a checkpoint are there when the run goes on from it."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def scalars(self, row: Row, group: str) -> None:
        """Write the numbers of a row for TensorBoard, by its step."""
        if self._file is None:
            return
        if self._board is None:  # with its first number: a run that is finished writes nothing
            self._board = SummaryWriter(str(self._board_folder), purge_step=self._after_step + 1)
        step = _step(row)
        for name, value in row.items():
            numbers = value.items() if isinstance(value, Mapping) else [("", value)]
            for part, number in numbers:
                if name != "step" and isinstance(number, int | float) and math.isfinite(number):
                    self._board.add_scalar(f"{group}/{name}{'/' + part if part else ''}", number, step)


class Evaluations:
    """`evaluations.jsonl`: a row for each time the held-out texts were read. `history` is what is in it."""

    def __init__(self, folder: Path, after_step: int, writes: bool) -> None:
        """Go on after a step.

        Raises:
            UserError: the evaluations of an earlier run cannot be read.
        """
        self._path, self._writes = folder / EVALUATIONS_FILE, writes
        self.history = HeldOutHistory()
        if writes:
            _go_on(self._path, after_step, self.history.take).close()

    @property
    def last_step(self) -> int | None:
        """After which step the last one was, on the rank that writes; None where there was none."""
        return _step(self.history.last) if self.history.count else None

    def write(
        self, found: Evaluation, changes: Sequence[Change], tokens: int, stage: str, alarms: Sequence[str]
    ) -> None:
        """Add a row, in place of one of the same step."""
        if not self._writes:
            return
        if self.last_step == found.step:
            self.history = HeldOutHistory()
            _go_on(self._path, found.step - 1, self.history.take).close()
        own = [change._asdict() | {"change": change.change} for change in changes]
        row = {**found.to_json(), "tokens": tokens, "stage": stage, "changes": own, "warnings": list(alarms)}
        with self._path.open("ab") as file:
            file.write(_line(row))
            file.flush()
            os.fsync(file.fileno())
        self.history.take(row)


def held_out_scalars(found: Evaluation, changes: Sequence[Change]) -> Row:
    """Return the numbers of an evaluation by language, and by source."""
    sources = {own.source: own.bits_per_byte for own in found.sources if own.bits_per_byte is not None}
    rises = {own.language: own.change for own in changes if own.change is not None}
    languages = {own.language: own.bits_per_byte for own in found.languages() if own.bits_per_byte is not None}
    return {"step": found.step, "bits_per_byte": languages, "source_bits_per_byte": sources, "change": rises}


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of a log; a last line that a killed run left half-written is left out.

    Raises:
        UserError: another line is not JSON.
    """
    if path.is_file():
        with path.open("rb") as file:
            yield from (row for row, _ in _rows(file, path))


def _rows(file: BinaryIO, path: Path) -> Iterator[tuple[dict[str, object], int]]:
    """Yield the rows, and where each ends."""
    end = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is not JSON; move the file away to go on without it") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number} is no row; move the file away to go on without it")
        end += len(line)
        yield row, end


def _go_on(path: Path, after_step: int, take: Callable[[Mapping[str, object]], None]) -> BinaryIO:
    """Open a log to go on after the row of a step; give `take` the rows until then, and cut off what follows."""
    file = path.open("a+b")
    try:
        file.seek(0)
        kept = 0
        for row, end in _rows(file, path):
            if _step(row) > after_step:
                break
            take(row)
            kept = end
            if _step(row) == after_step:  # what follows is not looked at: a crash may have left anything there
                break
        if path.stat().st_size > kept:
            file.truncate(kept)
    except BaseException:
        file.close()
        raise
    return file


def _step(row: Mapping[str, object]) -> int:
    step = row.get("step")
    return step if isinstance(step, int) else 0


def _line(row: Mapping[str, object]) -> bytes:
    return (json.dumps(_plain(row), allow_nan=False) + "\n").encode()


def _plain(value: object) -> object:
    """Return a value as JSON can hold it: numbers that are not finite by name."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(own) for name, own in value.items()}
    return value
