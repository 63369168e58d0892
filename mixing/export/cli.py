"""The command on mixtures for other trainers: export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curation.terminal import shown
from mixing.export.megatron import export_megatron, export_torchtitan
from mixing.export.nanotron import export_nanotron
from mixing.mixture.manifest import load_manifest


class Trainer(StrEnum):
    """Whose arguments are written."""

    MEGATRON = "megatron"
    NANOTRON = "nanotron"
    TORCHTITAN = "torchtitan"


def export_command(
    mix: Annotated[Path, typer.Option(help="Manifest, or folder of a mixture.")],
    trainer: Annotated[Trainer, typer.Option(help="Whose arguments are written.")] = Trainer.MEGATRON,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; else `export/<trainer>` in the mixture's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences of a training step, over all ranks (nanotron).")] = 1024,
) -> None:
    """A mixture as the data arguments of another trainer."""
    manifest = load_manifest(mix)
    folder = mix if mix.is_dir() else mix.parent
    target = out.expanduser() if out else folder / "export" / trainer.value
    match trainer:
        case Trainer.MEGATRON:
            notes = export_megatron(mix, manifest, target)
        case Trainer.NANOTRON:
            notes = export_nanotron(mix, manifest, target, batch)
        case Trainer.TORCHTITAN:
            notes = export_torchtitan()
    console = Console(emoji=False)
    for note in notes:
        console.print(shown(note), soft_wrap=True, highlight=False)
    console.print(shown(target), soft_wrap=True, highlight=False)
