"""The command on mixtures for other trainers: export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curation.terminal import shown
from mixing.export.megatron import export_megatron
from mixing.export.nanotron import export_nanotron
from mixing.mixture.manifest import load_manifest


class Trainer(StrEnum):
    """Whose arguments are written. torchtitan's loaders read texts and tokenize them, and no token shards."""

    MEGATRON = "megatron"
    NANOTRON = "nanotron"


def export_command(
    mix: Annotated[Path, typer.Option(help="Manifest, or folder of a mixture.")],
    trainer: Annotated[
        Trainer,
        typer.Option(
            help="Whose arguments are written. torchtitan reads texts, no token shards: for it, iterate "
            "mixing.stream.stage_stream.open_stage in a data loader of your own."
        ),
    ] = Trainer.MEGATRON,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; else `export/<trainer>` in the mixture's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences of a training step, over all ranks (nanotron).")] = 1024,
    checkpoints: Annotated[
        str, typer.Option(help="Folder of the stages' checkpoints, as the trainer is told of it (megatron).")
    ] = "checkpoints",
) -> None:
    """A mixture as the data arguments of another trainer."""
    manifest = load_manifest(mix)
    folder = mix if mix.is_dir() else mix.parent
    target = out.expanduser() if out else folder / "export" / trainer.value
    match trainer:
        case Trainer.MEGATRON:
            notes = export_megatron(mix, manifest, target, checkpoints)
        case Trainer.NANOTRON:
            notes = export_nanotron(mix, manifest, target, batch)
    console = Console(emoji=False)
    for note in notes:
        console.print(shown(note), soft_wrap=True, highlight=False)
    console.print(shown(target), soft_wrap=True, highlight=False)
