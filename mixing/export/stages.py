"""What exports share: names and seeds of stages, what no other trainer can do, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from configs.errors import UserError
from curation.store import write_text_atomically
from mixing.mixture.manifest_schema import Manifest, ManifestStage

# Trainers give their seeds to NumPy and add a rank to them; Megatron-LM wants a positive one.
_MOST_SEEDS = (1 << 31) - 1
STAGES_APART = (
    "No stage knows what the stages before have read: each draws by a seed of its own from all of a source, so a text "
    "may come again while others were not read yet, and caps over all stages hold on average only."
)


def stage_name(number: int, name: str) -> str:
    """Return a name for a stage's files, or a source's folder, whatever the name is that it is made from."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return f"{number}-{plain[:60]}"


def stage_seed(manifest: Manifest, number: int) -> int:
    """Return the seed of a stage, 1 to 2^31 - 1: each stage has another.

    These trainers know nothing of the stages before: with one seed a stage would begin with the very texts that the
    stage before began with.

    Args:
        manifest: of the mixture.
        number: of the stage, counted from 1.
    """
    return (manifest.seed + number - 1) % _MOST_SEEDS + 1


def refuse_slices(stage: ManifestStage, trainer: str) -> None:
    """Raise where a stage draws from chosen documents.

    Raises:
        UserError: it does; the message names the sources.
    """
    names = [source.source for source in stage.sources if source.where is not None and source.weight > 0]
    if names:
        raise UserError(
            f"stage {stage.name!r} draws from chosen documents of {', '.join(names)} (where, min_tokens, max_tokens); "
            f"{trainer} draws from whole shards only: make corpora of those documents, or leave the conditions out"
        )


def write_files(out: Path, files: Mapping[str, str]) -> None:
    """Write texts by name, each of them whole or not at all.

    Raises:
        UserError: a file cannot be written.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text_atomically(out / name, text)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the system says of files in `out` into one line.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}: {error.filename}") from error
