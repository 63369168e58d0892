"""A stage: tasks that are pure functions of their inputs, known by an identity, run at most once.

The identity of a task is the hash of its stage, its settings, the version of the code that it runs, and the
checksums of what it reads. While the identity holds, the finished task is not run again.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from configs.errors import UserError
from curation.store import Manifest, commit, read_manifest, scratch_folder

PACKAGES = ("configs", "filters", "dedup", "curation", "mixing")


@dataclass(slots=True)
class Result:
    """What a task function reports: numbers, and other facts as JSON."""

    counts: dict[str, int] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)


# payload, folder to write into, folder for scratch files
TaskFunction = Callable[[object, Path, Path], Result]


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work for a worker.

    Attributes:
        stage: name of the stage.
        name: of the shard, unique in the stage.
        function: what to run; importable by name in a worker.
        payload: its argument, picklable.
        identity: see the module.
        work: folder of the job's intermediate results.
    """

    stage: str
    name: str
    function: TaskFunction
    payload: object
    identity: str
    work: Path

    @property
    def folder(self) -> Path:
        """Where the finished task's files are."""
        return self.work / self.stage / f"{self.name}-{self.identity[:16]}"

    def finished(self) -> Manifest | None:
        """Return the manifest when the task was finished before."""
        return read_manifest(self.folder, self.identity)


def plain(value: object) -> object:
    """Return settings, also in mappings, as plain data: what a task's identity is made from."""
    if isinstance(value, Mapping):
        return {name: plain(own) for name, own in value.items()}
    return value.model_dump() if isinstance(value, BaseModel) else value


def make_task(
    stage: str, name: str, function: TaskFunction, payload: object, facts: Mapping[str, object], work: Path
) -> Task:
    """Return a task whose identity follows from the stage, its code and the `facts` (settings, input checksums)."""
    known = {"stage": stage, "name": name, "facts": dict(facts), "code": code_version(function.__module__)}
    identity = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
    return Task(stage, name, function, payload, identity, work)


def run_task(task: Task) -> Manifest:
    """Run a task unless it is finished, and commit its files in one step.

    Raises:
        UserError: a mistake that running again does not mend: a full disk, an output that may not be written.
        Exception: whatever the function raises; the shard may be tried again.
    """
    if (done := task.finished()) is not None:
        return done
    try:
        with scratch_folder(task.work / "scratch") as scratch:
            out, temporary = scratch / "out", scratch / "temporary"
            out.mkdir()
            temporary.mkdir()
            result = task.function(task.payload, out, temporary)
            return commit(out, task.folder, task.identity, result.counts, result.details)
    except OSError as error:
        if (reason := output_problem(error)) is not None:
            raise UserError(f"cannot write to {task.work}: {reason}") from error
        raise


def output_problem(error: OSError) -> str | None:
    """Return what to tell the user about an error of the output's file system, or None for any other error."""
    return {
        errno.ENOSPC: "no space left on the device; free some and run the same command again: finished shards are kept",
        errno.EDQUOT: "the disk quota is used up; free some and run the same command again: finished shards are kept",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission denied",
        errno.ENOTDIR: "a part of the path is a file, not a folder",
        errno.EFBIG: "a file is larger than the limit allows; finished shards are kept",
    }.get(error.errno or 0)


@cache
def code_version(module: str) -> str:
    """Return the hash of a module's source and of all sources of this project that it imports, with the versions of
    the libraries that they import.
    """
    sources: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            continue
        sources[name] = Path(spec.origin).read_text(encoding="utf-8")
        for imported in _imports(sources[name]):
            if imported.split(".")[0] in PACKAGES:
                waiting.append(imported)
            else:
                libraries.add(imported.split(".")[0])
    versions = {library: _version(library) for library in sorted(libraries)}
    return hashlib.sha256(json.dumps([sources, versions], sort_keys=True).encode()).hexdigest()


@cache
def _imports(source: str) -> frozenset[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module in PACKAGES:  # `from package import module`
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@cache
def _version(library: str) -> str:
    return ",".join(
        f"{name}={importlib.metadata.version(name)}" for name in sorted(set(_distributions().get(library, [])))
    )
