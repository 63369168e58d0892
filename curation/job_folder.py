"""The folders of a job: one job at a time in an output folder, intermediate results apart for each set of languages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from configs.errors import UserError
from configs.languages import Language
from curation.stage import Task, output_problem


def work_folder(out: Path, languages: Sequence[Language]) -> Path:
    """Return the folder of intermediate results: jobs for other languages keep their own."""
    codes = "-".join(sorted(language.code for language in languages))
    return out / ".work" / (codes if len(codes) <= 40 else hashlib.sha256(codes.encode()).hexdigest()[:12])


@contextmanager
def locked_output(out: Path) -> Iterator[None]:
    """Make the output folder and hold it for this job; the system lets go of it even when the job is killed.

    Raises:
        UserError: the folder cannot be written, or another job works in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"cannot write to the output folder {out}: {output_problem(error) or error.strerror}"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another job is writing to {out}; wait for it, or choose another OUT") from None
        yield
    finally:
        os.close(lock)


def remove_stale_work(work: Path, tasks: Sequence[Task]) -> None:
    """Remove half-written files, and results of tasks that the finished job did not use."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    used = {task.folder for task in tasks}
    for folder in work.glob("*/*"):
        if folder not in used:
            shutil.rmtree(folder, ignore_errors=True)
