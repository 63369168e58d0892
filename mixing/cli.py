"""The command line of floor 4: `python -m mixing tell --pair de-en`; the Makefile is what users see."""

from __future__ import annotations

import typer

from curation.cli_errors import run_command_line
from mixing.export.cli import export_command
from mixing.mixture.cli import mixdiff_command, mixture_command
from mixing.telling.cli import tell_command
from mixing.tokens.cli import tokenizer_command, tokens_command, where_command

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Turn corpora into what a trainer reads."""


app.command("tell")(tell_command)
app.command("tokenizer")(tokenizer_command)
app.command("tokens")(tokens_command)
app.command("where")(where_command)
app.command("mixture")(mixture_command)
app.command("mixdiff")(mixdiff_command)
app.command("export")(export_command)


def main() -> None:
    """Run a command; see `run_command_line` for the exit codes."""
    run_command_line(app)
