"""From how a trial's process ended, and what its run wrote, to its outcome."""

from __future__ import annotations

import platform
import re
import signal
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from curation.report import visible
from pretrain.run.exit_codes import DIVERGED_EXIT_CODE, OUT_OF_MEMORY_EXIT_CODE
from pretrain.run.stopping import STOPPED_EXIT_CODE
from pretrain.sweep.launch.early_stopping import StoppingRule
from pretrain.sweep.launch.trial_rows import Measured, read_evaluations, trained_tokens
from pretrain.sweep.trial import Outcome, Status

_LIBRARIES = ("torch", "numpy")
_CAUSE_CHARS, _SHOWN_CHARS = 500, 400
# Sequences that a terminal takes for commands (ECMA-48, sections 5.4 and 5.6).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# The line that the command line of a run ends with, and the last line of a traceback.
_SAID = re.compile(r"(?:error|the run failed|the job failed): (.+)")
_RAISED = re.compile(r"(?!.*ChildFailedError)[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b.*")
# Of torchrun's last lines.
_ROOT_CAUSE = re.compile(r"Root Cause \(first observed failure\):.*?exitcode\s*:\s*(-?\d+) \(pid", re.DOTALL)


class Ending(NamedTuple):
    """How a process ended, before one looks at what its run measured."""

    status: Status
    cause: str = ""


class Attempt(NamedTuple):
    """Which start of a trial, and what those before took."""

    number: int = 1
    seconds_before: float = 0.0


def process_ending(code: int, said: str) -> Ending:
    """Return what an exit code and the last lines of the output say.

    Args:
        code: of the process; below 0 it is a signal.
        said: the end of its output; it may hold anything.
    """
    said = _ESCAPES.sub("", said)
    if code == 1 and (roots := _ROOT_CAUSE.findall(said)):  # torchrun's own says nothing
        code = int(roots[-1])
    if code == 0:
        return Ending("finished")
    if code == STOPPED_EXIT_CODE:
        return Ending("killed", "asked to stop by a signal that the sweep did not send")
    if code == OUT_OF_MEMORY_EXIT_CODE or "std::bad_alloc" in said:
        return Ending("out_of_memory", telling_line(said) or "not enough memory")
    if code == DIVERGED_EXIT_CODE:
        return Ending("diverged", telling_line(said) or "no finite loss or gradient")
    if code < 0 or code > 128:
        return Ending("killed", _signal_words(-code if code < 0 else code - 128))
    return Ending("failed", telling_line(said) or f"exit code {code}, and nothing said")


def telling_line(said: str) -> str:
    """Return the line of an output that says what was wrong, as it may be shown; empty where there is no line."""
    lines = [line.strip() for line in _ESCAPES.sub("", said).splitlines() if line.strip()]
    for pattern in (_SAID, _RAISED):
        for line in reversed(lines):
            if (found := pattern.fullmatch(line)) is not None:
                return _shown(found[found.lastindex or 0])
    return _shown(lines[-1]) if lines else ""


def trial_outcome(trial: str, run: Path, ending: Ending, attempt: Attempt, rule: StoppingRule | None) -> Outcome:
    """Return the outcome of a trial from how its process ended and from the folder of its run.

    The rule of early stopping comes first: rows after the evaluation that it ends the trial at do not count, even
    where the process was faster.

    Args:
        trial: its id.
        run: folder of its run.
        ending: of its process.
        attempt: which one it was, with the seconds of all attempts.
        rule: of early stopping; None is none.
    """
    try:
        rows = read_evaluations(run)
    except ValueError as error:
        rows, ending = [], Ending("failed", _shown(str(error)))
    tokens = max([trained_tokens(run), *(row.tokens for row in rows[-1:])])
    place = None if rule is None else rule.stops_at(rows)
    if rule is not None and place is not None:
        rows, tokens = rows[: place + 1], rows[place].tokens
        ending = Ending("stopped", rule.words(rows[-1]))
    elif ending.status == "finished":
        ending = _last_measured(rows)
    return Outcome(
        trial=trial,
        status=ending.status,
        cause=ending.cause,
        attempts=attempt.number,
        seconds=round(attempt.seconds_before, 3),
        tokens=tokens,
        first=rows[0].bits if rows and rows[0].tokens == 0 else {},
        last=rows[-1].bits if rows else {},
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    )


def _last_measured(rows: list[Measured]) -> Ending:
    """Return how a run that came to its end did, by its last evaluation."""
    if not rows:
        return Ending("failed", "the run ended without an evaluation: its mixture has no held-out texts")
    missing = sorted({*rows[-1].not_finite, *(rows[0].bits.keys() - rows[-1].bits.keys())})
    if missing:
        return Ending("diverged", _shown(f"no finite held-out loss at the end: {', '.join(missing)}"))
    return Ending("finished")


def _signal_words(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return (
            f"ended by {name}, which the sweep did not send: the kernel or Ray does when memory runs out, or a person"
        )
    return f"ended by {name}, which the sweep did not send"


def _shown(text: str) -> str:
    return visible(" ".join(text.split()), _SHOWN_CHARS)[:_CAUSE_CHARS]
