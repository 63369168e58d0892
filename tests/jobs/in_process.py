"""Running command lines in the test's own process, and there also the tasks of a job: no process, no Ray to start."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout

from curation.cli_errors import run_command_line
from curation.runner import Progress, Runner
from curation.stage import Task, run_task
from curation.store import Manifest


class InProcessRunner(Runner):
    """Runs the tasks here, one after the other, each as a worker would get it: by its bytes.

    What fails, fails at once and with its own error.
    """

    def run(self, stage: str, tasks: Sequence[Task], progress: Progress | None = None) -> list[Manifest]:
        finished_before = sum(task.finished() is not None for task in tasks)
        manifests = [run_task(pickle.loads(pickle.dumps(task))) for task in tasks]
        if progress:
            progress(stage, len(tasks), len(tasks), finished_before)
        return manifests


def run_here(app: Callable[[], object]) -> tuple[int, str, str]:
    """Run a command line in this process; return its exit code, its standard output and its standard error."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            run_command_line(app)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, stdout.getvalue(), stderr.getvalue()
