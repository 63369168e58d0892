"""A program that behaves like a trial's run, act by act: `python fake_trial.py <folder of the run> <acts as JSON>`.

It loads nothing but the standard library, so that a test may start many.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def program(run: Path, *acts: Sequence[object]) -> tuple[str, ...]:
    """Return the arguments of the interpreter that make it behave so."""
    return (__file__, str(run), json.dumps(acts))


def row(tokens: int, **bits: float | None) -> str:
    """Return a line of `evaluations.jsonl`; None is a loss that is not finite."""
    languages = [{"language": name, "bytes": 9, "bits_per_byte": value} for name, value in bits.items()]
    return json.dumps({"step": tokens, "tokens": tokens, "languages": languages}) + "\n"


def main() -> None:
    """Do one act after the other."""
    run = Path(sys.argv[1])
    run.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: (run / "saved").touch() or sys.exit(143))  # type: ignore[func-returns-value]
    (run / "pid").write_text(str(os.getpid()))
    for number, (name, *values) in enumerate(json.loads(sys.argv[2])):
        if name == "once":
            if (run / f"did_{number}").exists():
                continue
            (run / f"did_{number}").touch()
            name, *values = values
        act(run, name, values)


def act(run: Path, name: str, values: list[object]) -> None:
    """Do one act."""
    (value,) = values or [0]
    if name == "write":
        with (run / "evaluations.jsonl").open("a") as file:
            file.write(str(value))
    elif name == "log":
        with (run / "log.jsonl").open("a") as file:
            file.write(str(value))
    elif name == "say":
        sys.stderr.write(f"{value}\n")
    elif name == "sleep":
        time.sleep(float(str(value)))
    elif name == "exit":
        sys.exit(int(str(value)))
    elif name == "signal":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), int(str(value)))
        time.sleep(60)
    elif name == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif name == "child":  # in a session of its own, as torchrun starts ranks
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        (run / "child").write_text(str(child.pid))
    elif name == "allocate":
        act.held = b"x" * (int(str(value)) << 20)  # type: ignore[attr-defined]
    elif name == "environment":
        (run / "environment.json").write_text(json.dumps(dict(os.environ)))
    elif name == "kill_parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    else:
        raise ValueError(name)


if __name__ == "__main__":
    main()
