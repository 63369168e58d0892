"""What deduplication will take: partitions, memory and disk; known before it starts, refused where it cannot fit."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError
from curation.duplicates.config import DedupStages

_MIB = 1 << 20
# Measured with two million documents (docs/benchmarks.md): bytes of memory for each row of a partition, sorting and
# looking up included, and what a worker takes before it has read anything.
_BYTES_PER_HASH, _BYTES_PER_BAND_KEY, _BYTES_PER_ANCHOR, _BYTES_PER_LINE = 100, 96, 200, 120
_BYTES_PER_EMBEDDING = 8 * 1024  # of 1,024 numbers, twice
_WORKER_BYTES, _DRIVER_BYTES = 260 * _MIB, 700 * _MIB
# A part holds at most 32 MiB of text, which is there as characters, words and numbers at once.
_PART_BYTES, _BYTES_PER_CHARACTER = 320 * _MIB, 10
# Measured, too (docs/benchmarks.md): processor seconds of exact and near deduplication for each document and word, and
# of the stages inside documents for each character.
_S_PER_DOCUMENT, _S_PER_WORD, _S_PER_CHARACTER = 40e-6, 0.33e-6, 0.03e-6
# A partition is kept below the first of these, or the next ones where memory is short. The steps are large, so that a
# job that goes on where it stopped mostly finds the partitions that it had.
_PARTITION_BYTES = tuple(size * _MIB for size in (256, 128, 64, 32, 16))
# Windows of k tokens have anchors of k/2: some two of k/2 tokens are one (`dedup.winnow`).
_ANCHORS_PER_WINDOW = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to deduplicate.

    Attributes:
        documents: number of documents, those of a corpus that stands already included.
        base_documents: number of these.
        words: of all documents.
        characters: of all documents.
        parts: number of parts.
    """

    documents: int
    base_documents: int = 0
    words: int = 0
    characters: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the plan.

    Attributes:
        stage: name of the stage.
        rows: what is shuffled: hashes, band keys, anchors or lines.
        partitions: number of partitions.
        task_bytes: memory that one task takes.
        disk_bytes: what the stage writes.
    """

    stage: str
    rows: int
    partitions: int
    task_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a deduplication.

    Attributes:
        load: what there is to do.
        workers: tasks at a time.
        memory_bytes: memory that is available, None where it is not known.
        steps: by stage.
    """

    load: Load
    workers: int
    memory_bytes: int | None
    steps: tuple[Step, ...]

    def partitions(self, stage: str) -> int:
        """Return the number of partitions of a stage."""
        return next(step.partitions for step in self.steps if step.stage == stage)

    @property
    def task_bytes(self) -> int:
        """Memory of the largest task, its worker included."""
        part = min(_PART_BYTES, self.load.characters * _BYTES_PER_CHARACTER)
        return _WORKER_BYTES + max((part, *(step.task_bytes for step in self.steps)))

    @property
    def needed_bytes(self) -> int:
        """Memory of all workers and of the driver, when all run the largest task."""
        tasks = max((self.load.parts, *(step.partitions for step in self.steps)))
        return min(self.workers, tasks) * self.task_bytes + _DRIVER_BYTES

    @property
    def seconds(self) -> float:
        """About how long it will take: as long as on the machine that was measured, with as many workers as here."""
        stages = {step.stage for step in self.steps}
        whole = self.load.documents * _S_PER_DOCUMENT + self.load.words * _S_PER_WORD if stages else 0.0
        inside = self.load.characters * _S_PER_CHARACTER * len(stages & {"lines", "substring"})
        return (whole + inside) / self.workers

    @property
    def disk_bytes(self) -> int:
        """What all stages write between them."""
        return sum(step.disk_bytes for step in self.steps)


def make_plan(load: Load, config: DedupStages, workers: int, memory_bytes: int | None = None) -> Plan:
    """Return the plan: as few partitions as memory allows, but for those that the configuration names.

    Args:
        load: what there is to deduplicate.
        config: the stages.
        workers: tasks at a time.
        memory_bytes: memory that is available; None takes partitions as on a machine that has enough.
    """
    limit = _PARTITION_BYTES[0]
    if memory_bytes is not None:
        most = ((memory_bytes - _DRIVER_BYTES) // workers - _WORKER_BYTES) // 2
        limit = next((size for size in _PARTITION_BYTES if size <= most), _PARTITION_BYTES[-1])
    steps = []
    for stage, rows, row_bytes, configured, disk in _stages(load, config):
        count = configured or max(1, -(-rows * row_bytes // limit))
        steps.append(Step(stage, rows, count, rows * row_bytes // count, disk))
    return Plan(load, workers, memory_bytes, tuple(steps))


def _stages(load: Load, config: DedupStages) -> list[tuple[str, int, int, int | None, int]]:
    """Return for each stage its rows, bytes of memory a row, the partitions that are configured, and bytes on disk."""
    stages: list[tuple[str, int, int, int | None, int]] = []
    if config.same_url is not None:
        stages.append(("same_url", load.documents, _BYTES_PER_HASH, config.same_url.partitions, load.documents * 32))
    if config.exact is not None:
        stages.append(("exact", load.documents, _BYTES_PER_HASH, config.exact.partitions, load.documents * 96))
    if config.minhash is not None:
        keys = load.documents * config.minhash.bands
        # Keys for the shuffle and for the index, buckets, and the shingles of every document at worst.
        disk = keys * (16 + 8 + 16) + load.words * 8
        stages.append(("minhash", keys, _BYTES_PER_BAND_KEY, config.minhash.partitions, disk))
    if config.semantic is not None:
        short = min(load.documents, config.semantic.max_documents)
        stages.append(("semantic", short, _BYTES_PER_EMBEDDING, 1, load.documents * _BYTES_PER_EMBEDDING // 2))
    if config.lines is not None:
        lines = max(load.documents, load.characters // 60)
        stages.append(("lines", lines, _BYTES_PER_LINE, config.lines.partitions, lines * 48))
    if config.substring is not None:
        # Punctuation marks are tokens, too; where no spaces stand between words, letters are.
        tokens = max(int(load.words * 1.3), load.characters // 6)
        width = min(config.substring.min_tokens, config.substring.min_tokens_unspaced)
        anchors = tokens * _ANCHORS_PER_WINDOW // width
        disk = tokens * 16 + load.characters * 2 + anchors * 32
        stages.append(("substring", anchors, _BYTES_PER_ANCHOR, config.substring.partitions, disk))
    return stages


def check_plan(plan: Plan, free_disk_bytes: int, done_bytes: int, place: str) -> None:
    """Refuse a plan that cannot fit.

    Args:
        plan: the plan.
        free_disk_bytes: what may still be written.
        done_bytes: what an earlier run has written of it.
        place: name of the folder, for the message.

    Raises:
        UserError: memory or disk does not suffice; the message says how much is missing and what to do.
    """
    if not plan.steps:
        return
    if plan.memory_bytes is not None and plan.needed_bytes > plan.memory_bytes:
        raise UserError(
            f"deduplication of {plan.load.documents:,} documents needs {_gib(plan.needed_bytes)} of memory, "
            f"{_gib(plan.memory_bytes)} are available; {_advice(plan)}"
        )
    needed = max(0, plan.disk_bytes - done_bytes)
    if needed > free_disk_bytes:
        raise UserError(
            f"deduplication of {plan.load.documents:,} documents writes up to {_gib(needed)} to {place}, where "
            f"{_gib(free_disk_bytes)} are free; free some, or choose another OUT"
        )


def _advice(plan: Plan) -> str:
    """Return what may help: only what would change the figure."""
    ways = [f"fewer WORKERS (they are {plan.workers})"] if plan.workers > 1 else []
    large = [step for step in plan.steps if step.task_bytes > _PARTITION_BYTES[-1]]
    if large:
        named = ", ".join(f"{step.stage}.partitions is {step.partitions}" for step in large)
        ways.append(f"more partitions ({named})")
    return f"take {', or '.join([*ways, 'a machine with more'])}"


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
