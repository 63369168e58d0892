"""Commands on mixtures: mixture, mixdiff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from curation.charts import compact, number, share
from curation.terminal import shown
from mixing.mixture.manifest import read_manifest
from mixing.mixture.manifest_diff import compare_manifests
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import load_mixture
from mixing.mixture.publish import write_mixture
from mixing.mixture.utilization import usage_rows, utilization

# Tables need room; where the output is no terminal, nobody wraps it.
_WIDTH = 140
# More languages than this are in the report only.
_FEW_ROWS = 60


def mixture_command(
    mix: Annotated[Path, typer.Option(help="YAML file of the mixture.")],
    tokens: Annotated[Path, typer.Option(help="Folder of the sources' tokens.")] = Path("tokens"),
    out: Annotated[Path, typer.Option(help="Folder of mixtures.")] = Path("mixtures"),
    check: Annotated[bool, typer.Option(help="Read every byte of the tokens and compare checksums, too.")] = False,
) -> None:
    """Which tokens a run trains on: shares and budgets resolved against the tokens that there are, as a manifest."""
    config = load_mixture(mix)
    out = out.expanduser().absolute()
    manifest = write_mixture(config, tokens.expanduser(), out, check)
    folder = out / manifest.name
    console = _console()
    _print_mixture(console, manifest)
    console.print(f"{shown(folder)}/manifest.json, report.html", soft_wrap=True, highlight=False)


def mixdiff_command(
    a: Annotated[Path, typer.Option(help="Manifest, or folder of a mixture.")],
    b: Annotated[Path, typer.Option(help="The one that it is compared with.")],
) -> None:
    """What differs between two mixtures."""
    changes = compare_manifests(read_manifest(a), read_manifest(b))
    console = _console()
    if not changes:
        console.print("the two mixtures train alike: same stages, same tokens of the same bytes")
        return
    table = Table("where", "what", shown(a), shown(b))
    for change in changes:
        table.add_row(shown(change.place), change.what, shown(change.before), shown(change.after))
    console.print(table)


def _print_mixture(console: Console, manifest: Manifest) -> None:
    table = Table("category", title=f"{shown(manifest.name)}: {manifest.tokens:,} tokens")
    for name in ("available", "used", "rate", "epochs", *(stage.name for stage in manifest.stages)):
        table.add_column(shown(name), justify="right")
    rows = list(usage_rows(utilization(manifest)))
    few = len(rows) <= _FEW_ROWS
    for kind, row in rows:
        if kind == "language" and not few:
            continue
        if kind == "whole":
            table.add_section()
        name = {"category": shown(row.name), "language": f"  {shown(row.name)}", "whole": "all together"}[kind]
        numbers = (f"{row.available:,}", f"{row.used:,}", share(row.used, row.available), number(row.epochs, 3))
        table.add_row(name, *numbers, *(compact(tokens) for tokens in row.by_stage))
    console.print(table)
    if not few:
        console.print(f"{sum(kind == 'language' for kind, _ in rows):,} languages are in the report")
    console.print(shown(manifest.shares), highlight=False)


def _console() -> Console:
    console = Console(emoji=False)
    return console if console.is_terminal else Console(emoji=False, width=_WIDTH)
