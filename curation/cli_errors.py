"""How a command line ends: errors become one clear line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from pyarrow import ArrowException
from rich.console import Console

from configs.errors import UserError
from curation.ledger import ConservationError
from curation.runner import ShardError
from curation.stage import output_problem
from curation.terminal import shown


def run_command_line(app: Callable[[], object]) -> None:
    """Run a command; turn errors into one clear line and an exit code: 2 for a user's mistake, 1 for a failed job."""
    console = Console(stderr=True, emoji=False)
    try:
        app()
    except UserError as error:
        _fail(console, "error", str(error), 2)
    except (ShardError, ConservationError) as error:
        _fail(console, "the job failed", str(error), 1)
    except OSError as error:
        reason = output_problem(error)
        if reason is None:
            raise
        _fail(console, "error", f"cannot write {error.filename or 'the output'}: {reason}", 2)
    except ArrowException as error:
        _fail(console, "the job failed", str(error), 1)


def _fail(console: Console, kind: str, message: str, code: int) -> None:
    if os.environ.get("CORPUS_DEBUG"):
        traceback.print_exc()
    console.print(f"[bold red]{kind}:[/] {shown(message)}", soft_wrap=True, highlight=False)
    sys.exit(code)
