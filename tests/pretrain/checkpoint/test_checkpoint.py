"""Checkpoints in one process: exact resumption, damage, what stays, full disks, checkpoints that are not ours."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystem

from configs.errors import UserError
from pretrain.checkpoint.checkpoint import Checkpointer, CheckpointError, load_weights
from pretrain.checkpoint.checkpoint_files import (
    METADATA_FILE,
    CheckpointRecord,
    StoredFile,
    commit,
    find_damage,
    latest,
    list_checkpoints,
    partial_folder,
    read_record,
    store_file,
)
from pretrain.checkpoint.checkpoint_reader import read_metadata
from pretrain.model.model import Decoder
from pretrain.optimizer.optimizer import state_tensors
from pretrain.run.run_config import OptimizerConfig
from tests.pretrain.checkpoint.checkpointed_runs import (
    SHAPE,
    make_model,
    make_optimizer,
    open_checkpoints,
    run_state,
    train,
)

ROWS = (0, 1)
FP32 = OptimizerConfig()


@pytest.fixture(scope="module", autouse=True)
def _not_compiled() -> Iterator[None]:
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the checkpoints of steps 1 and 2; tests copy it."""
    folder = tmp_path_factory.mktemp("two") / "checkpoints"
    model = make_model(FP32)
    optimizer = make_optimizer(model, FP32)
    checkpoints = open_checkpoints(folder)
    for step in (1, 2):
        train(model, optimizer, step - 1, step, ROWS)
        checkpoints.save(run_state(step), [model], optimizer)
    checkpoints.close()
    return folder


@pytest.fixture
def folder(two: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(two, tmp_path / "checkpoints"))


def load(path: Path) -> tuple[Decoder, torch.optim.Optimizer]:
    """Return a model and its optimizer that were read from a checkpoint."""
    model = make_model(FP32, seed=8)
    optimizer = make_optimizer(model, FP32)
    Checkpointer(path.parent, None, False, print).load(path, [model], optimizer, {"shard": 1})
    return model, optimizer


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("setting", [{}, {"weights": "bf16"}, {"weights": "bf16", "states": "int8"}])
def test_resumed_run_is_the_unbroken_one_to_the_bit(tmp_path: Path, setting: dict[str, str], background: bool) -> None:
    """Weights and moments, three steps later; training goes on while the checkpoint is written."""
    config = OptimizerConfig.model_validate(setting)
    torch.manual_seed(11)
    model = make_model(config)
    optimizer = make_optimizer(model, config)
    train(model, optimizer, 0, 2, ROWS)
    checkpoints = open_checkpoints(tmp_path, background=background)
    checkpoints.save(run_state(2), [model], optimizer)
    train(model, optimizer, 2, 5, ROWS)
    drawn = torch.rand(3)
    checkpoints.close()

    torch.manual_seed(12)
    resumed = make_model(config, seed=1)
    other = make_optimizer(resumed, config)
    again = open_checkpoints(tmp_path)
    path = again.latest()
    assert path == tmp_path / "step_00000002"
    assert again.load(path, [resumed], other, {"shard": 1}) == run_state(2)
    train(resumed, other, 2, 5, ROWS)
    assert torch.equal(torch.rand(3), drawn)
    for one, same in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, same)
        mine, theirs = state_tensors(optimizer, one), state_tensors(other, same)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_first_checkpoint_of_all_is_before_a_step(tmp_path: Path) -> None:
    """Where the optimizer has no states yet, those that it starts with are kept."""
    model = make_model(FP32)
    optimizer = make_optimizer(model, FP32)
    checkpoints = open_checkpoints(tmp_path)
    checkpoints.save(run_state(0), [model], optimizer)
    train(model, optimizer, 0, 2, ROWS)
    checkpoints.close()
    resumed, other = load(tmp_path / "step_00000000")
    train(resumed, other, 0, 2, ROWS)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_same_state_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Nothing of time, place or chance is in a checkpoint."""
    model, optimizer = load(folder / "step_00000002")
    checkpoints = open_checkpoints(tmp_path / "other", background=False)
    checkpoints.save(run_state(2), [model], optimizer)
    # Its own random numbers are those of the checkpoint, as it was loaded.
    again = read_record(tmp_path / "other" / "step_00000002")
    assert again == read_record(folder / "step_00000002")


def test_ranks_that_share_otherwise_draw_other_numbers_all_alike(folder: Path) -> None:
    """Generators are seeded by the step: copies of a weight on several ranks have to round alike."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = make_model(FP32)
        open_checkpoints(folder).load(
            folder / "step_00000002", [model], make_optimizer(model, FP32), {"shard": 1, "replicate": 1}
        )
        drawn.append(torch.rand(2))
    assert torch.equal(drawn[0], drawn[1])
    load(folder / "step_00000002")
    assert not torch.equal(torch.rand(2), drawn[0])


def test_truncated_anywhere_the_one_before_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or any byte changed: it is found before anything is loaded, and named."""
    random_ = random.Random(7)
    whole = {path: path.read_bytes() for path in sorted((folder / "step_00000002").iterdir())}
    for number in range(40):
        path = random_.choice(sorted(whole))
        data = whole[path]
        place = random_.randrange(len(data))
        if number % 2:
            path.write_bytes(data[:place])
        else:
            path.write_bytes(data[:place] + bytes([data[place] ^ (1 << random_.randrange(8))]) + data[place + 1 :])
        assert open_checkpoints(folder).latest() == folder / "step_00000001", (path, place)
        told = capsys.readouterr().out
        assert "step_00000002 is damaged" in told
        assert path.name in told
        path.write_bytes(data)
    assert latest(folder, print) == folder / "step_00000002"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run.json", None, "run.json cannot be read: No such file"),
        ("run.json", b"", "run.json is not JSON"),
        ("run.json", b"[]", "run.json has another checksum"),
        ("run.json", b"[" * 100_000, "run.json is not JSON"),
        ("run.json", b"\xff\xfe", "run.json is not JSON"),
        (".metadata", None, ".metadata cannot be read: No such file"),
        ("__0_0.distcp", None, "__0_0.distcp cannot be read: No such file"),
        ("__0_0.distcp", b"", "__0_0.distcp has 0 bytes instead of"),
    ],
)
def test_where_all_are_damaged_each_is_named(folder: Path, name: str, content: bytes | None, told: str) -> None:
    """The user learns what is wrong with which."""
    for path in list_checkpoints(folder):
        (path / name).unlink()
        if content is not None:
            (path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_checkpoints(folder).latest()
    assert str(caught.value).count(told) == 2
    assert "step_00000001: " in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="step_00000002 is damaged"):
        load(folder / "step_00000002")


def test_none_at_all_is_no_error(tmp_path: Path) -> None:
    """A run that has not begun begins; what is not a checkpoint is not taken for one, and not touched."""
    (tmp_path / "step_1").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert open_checkpoints(tmp_path).latest() is None
    assert {path.name for path in tmp_path.iterdir()} == {"step_1", "notes.txt"}
    assert latest(tmp_path / "nowhere", print) is None


def test_another_checkpoint_under_the_name_is_noticed(folder: Path) -> None:
    """A folder that was copied or renamed."""
    os.rename(folder / "step_00000002", folder / "step_00000009")
    assert find_damage(folder / "step_00000009") == "run.json is of step 2"


def test_as_many_stay_as_are_kept_and_the_ends_of_stages(tmp_path: Path) -> None:
    """Damaged ones do not count, later ones of a run that was set back do not go."""
    model = make_model(FP32)
    optimizer = make_optimizer(model, FP32)
    checkpoints = open_checkpoints(tmp_path, keep=2)

    def save(step: int, stage_end: bool = False) -> list[int]:
        checkpoints.save(run_state(step, stage_end), [model], optimizer)
        checkpoints.wait()
        return [int(path.name[5:]) for path in list_checkpoints(tmp_path)]

    train(model, optimizer, 0, 1, ROWS)
    assert [save(1), save(2, stage_end=True), save(3)] == [[1], [1, 2], [2, 3]]
    assert [save(4), save(5)] == [[2, 3, 4], [2, 4, 5]]
    (tmp_path / "step_00000005" / "__0_0.distcp").unlink()
    assert save(6) == [2, 4, 5, 6]  # 4 is the second good one
    assert save(5) == [2, 4, 5, 6]
    assert latest(tmp_path, print) == tmp_path / "step_00000006"
    assert find_damage(tmp_path / "step_00000005") is None  # the run came past it again
    checkpoints.close()
    everything = open_checkpoints(tmp_path / "all", keep=None)
    for step in range(4):
        everything.save(run_state(step), [model], optimizer)
    everything.close()
    assert len(list_checkpoints(tmp_path / "all")) == 4


@contextmanager
def full_after(monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[None]:
    """Let the disk be full after so many bytes of a file."""
    create = FileSystem.create_stream

    @contextmanager
    def limited(self: FileSystem, path: str | os.PathLike[str], mode: str) -> Iterator[IO[bytes]]:
        with create(self, path, mode) as stream:
            yield _Limited(stream, size) if "w" in mode else stream  # type: ignore[misc]

    with monkeypatch.context() as patch:
        patch.setattr(FileSystem, "create_stream", limited)
        yield


class _Limited:
    """A file on a disk that gets full."""

    def __init__(self, stream: object, size: int) -> None:
        self._stream, self._left = stream, size

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._stream.write(data))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("size", [0, 1000, 20_000, 500_000])
def test_full_disk_is_one_clear_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, background: bool, size: int
) -> None:
    """It comes at the next call, the half-written one goes, earlier ones stay, and later ones can be written."""
    model, optimizer = load(folder / "step_00000002")
    checkpoints = open_checkpoints(folder, keep=1, background=background)

    def save() -> None:
        checkpoints.save(run_state(3), [model], optimizer)
        checkpoints.wait()

    with full_after(monkeypatch, size), pytest.raises(CheckpointError) as caught:
        save()
    assert str(caught.value) == (
        f"the checkpoint of step 3 was not written: No space left on device; {folder} has step_00000001, step_00000002"
    )
    assert {path.name for path in folder.iterdir()} == {"step_00000001", "step_00000002"}
    assert checkpoints.latest() == folder / "step_00000002"
    checkpoints.save(run_state(3), [model], optimizer)
    checkpoints.close()
    assert [path.name for path in list_checkpoints(folder)] == ["step_00000003"]


def test_full_file_system(folder: Path, tmp_path: Path) -> None:
    """A real one, of 3 MB, on which a third checkpoint has no room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(folder, disk / "checkpoints")
        model, optimizer = load(folder / "step_00000002")
        checkpoints = open_checkpoints(disk / "checkpoints", keep=1)
        checkpoints.save(run_state(3), [model], optimizer)
        with pytest.raises(CheckpointError, match="No space left on device"):
            checkpoints.wait()
        assert checkpoints.latest() == disk / "checkpoints" / "step_00000002"
        assert len(list((disk / "checkpoints").iterdir())) == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_next_save_raises_what_the_last_one_met(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the background is not lost."""
    model, optimizer = load(folder / "step_00000002")
    checkpoints = open_checkpoints(folder)
    with full_after(monkeypatch, 10):
        checkpoints.save(run_state(3), [model], optimizer)
        with pytest.raises(CheckpointError, match="step 3 was not written"):
            checkpoints.save(run_state(4), [model], optimizer)


def test_files_of_another_machine_have_to_be_there(folder: Path) -> None:
    """A folder that machines do not share would have only one machine's part of the weights."""
    path = folder / "step_00000002"
    record = read_record(path)
    partial = partial_folder(folder / "step_00000003")
    shutil.copytree(path, partial)
    files = {**record.files, "__1_0.distcp": StoredFile(bytes=7, checksum="0")}
    with pytest.raises(FileNotFoundError, match=r"__1_0\.distcp.* must be one for all machines"):
        commit(partial, run_state(3), files)
    assert not (folder / "step_00000003").exists()


def test_folder_that_cannot_be_made_is_the_users_error(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used for checkpoints: Not a directory"):
        open_checkpoints(tmp_path / "file" / "checkpoints")


def test_weights_alone(folder: Path) -> None:
    """For another run: no optimizer, no generator; a damaged one is refused."""
    expected, _ = load(folder / "step_00000002")
    model = make_model(FP32, seed=5)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert load_weights(folder / "step_00000002", [model]).step == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    rounded = make_model(OptimizerConfig(weights="bf16"))
    load_weights(folder / "step_00000002", [rounded])
    assert torch.equal(rounded.head_weight, expected.head_weight.bfloat16())
    with (folder / "step_00000002" / "__0_0.distcp").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    with pytest.raises(UserError, match=r"step_00000002 is damaged: __0_0\.distcp has another checksum"):
        load_weights(folder / "step_00000002", [model])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layers": 3}, r"has no model\.layers\.2\..* and 11 more: it is of another model or optimizer"),
        ({"layers": 1}, r"has model\.layers\.1\..* and 11 more, which the model has not"),
        ({"vocab_size": 100}, r"its model\.embed\.weight is \(96, 64\), here it is \(100, 64\)"),
    ],
)
def test_checkpoint_of_another_model_is_refused(folder: Path, change: dict[str, int], told: str) -> None:
    """With the first name that does not fit."""
    model = Decoder(SHAPE.model_copy(update=change))
    with pytest.raises(UserError, match=told):
        load_weights(folder / "step_00000002", [model])


def test_checkpoint_of_another_optimizer_is_refused(folder: Path) -> None:
    """Moments in 8 bits are not those in 32."""
    config = OptimizerConfig(states="int8")
    model = make_model(config)
    with pytest.raises(UserError, match=r"has no optimizer\..*codes.* it is of another model or optimizer"):
        open_checkpoints(folder).load(folder / "step_00000002", [model], make_optimizer(model, config), {"shard": 1})


def rewrite(path: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint by another one, as somebody would who knows of checksums."""
    (path / name).write_bytes(content)
    record = read_record(path)
    files = {**record.files, name: store_file(path / name)}
    (path / "run.json").write_text(CheckpointRecord(state=record.state, files=files).to_json())
    assert find_damage(path) is None


class _Run:
    """A pickle that runs a command when it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_checkpoint_from_elsewhere_runs_no_code(folder: Path, tmp_path: Path, protocol: int) -> None:
    """Whatever its metadata asks for."""
    path = folder / "step_00000002"
    trace = tmp_path / "trace"
    rewrite(path, METADATA_FILE, pickle.dumps(_Run(f"touch {trace}"), protocol))
    with pytest.raises(UserError, match=r"it asks for \w+\.system, which a checkpoint has no use for"):
        load_weights(path, [make_model(FP32)])
    with pytest.raises(UserError, match="has no use for"):
        load(path)
    assert not trace.exists()


def test_values_that_are_no_tensors_are_refused(folder: Path, tmp_path: Path) -> None:
    """torch would read them as pickles."""
    import torch.distributed.checkpoint as dcp

    trace = tmp_path / "trace"
    dcp.save({"model.embed.weight": _Run(f"touch {trace}")}, checkpoint_id=tmp_path / "made", no_dist=True)  # type: ignore[attr-defined]
    metadata = pickle.loads((tmp_path / "made" / METADATA_FILE).read_bytes())
    metadata.storage_meta = None  # it has a path, which is refused before
    path = folder / "step_00000002"
    rewrite(path, "__0_0.distcp", (tmp_path / "made" / "__0_0.distcp").read_bytes())
    rewrite(path, METADATA_FILE, pickle.dumps(metadata))
    with pytest.raises(UserError, match=r"BytesStorageMetadata, which a checkpoint has no use for"):
        load_weights(path, [make_model(FP32)])
    assert not trace.exists()


@pytest.mark.parametrize("elsewhere", ["../step_00000001/__0_0.distcp", "/etc/passwd", "run.json"])
def test_tensors_outside_of_the_checkpoint_are_not_read(folder: Path, elsewhere: str) -> None:
    """Names of files come from the checkpoint, too."""
    path = folder / "step_00000002"
    metadata = pickle.loads((path / METADATA_FILE).read_bytes())
    next(iter(metadata.storage_data.values())).relative_path = elsewhere
    rewrite(path, METADATA_FILE, pickle.dumps(metadata))
    with pytest.raises(UserError, match="is not in a file of the checkpoint"):
        load_weights(path, [make_model(FP32)])


def test_files_outside_of_the_checkpoint_are_not_named(folder: Path) -> None:
    """Nor do checksums tell of others' files."""
    path = folder / "step_00000002"
    record = read_record(path)
    plain = json.loads(record.model_dump_json())
    plain["files"]["../../secret"] = {"bytes": 1, "checksum": "0"}
    made = CheckpointRecord.model_construct(
        state=record.state, files={**record.files, "../../secret": StoredFile(bytes=1, checksum="0")}
    )
    (path / "run.json").write_text(made.to_json())
    assert "run.json: files" in str(find_damage(path))


@pytest.mark.parametrize("seed", range(3))
def test_metadata_of_any_bytes_is_read_or_refused(folder: Path, seed: int) -> None:
    """A fuzzed pickle raises one kind of error, and has no effect."""
    path = folder / "step_00000002"
    whole = (path / METADATA_FILE).read_bytes()
    files = read_record(path).files
    random_ = random.Random(seed)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(random_.choice([1, 1, 4])):
            data[random_.randrange(len(data))] = random_.randrange(256)
        (path / METADATA_FILE).write_bytes(bytes(data))
        try:
            read_metadata(path, files)
        except ValueError:
            refused += 1
    assert refused > 5


def test_tensor_that_is_not_what_it_says_is_refused(folder: Path) -> None:
    """A file whose tensors are swapped gives an error, not other weights."""
    path = folder / "step_00000002"
    metadata = pickle.loads((path / METADATA_FILE).read_bytes())
    storage = {index.fqn: place for index, place in metadata.storage_data.items()}
    one, other = storage["model.embed.weight"], storage["model.norm.weight"]
    one.offset, one.length = other.offset, other.length
    rewrite(path, METADATA_FILE, pickle.dumps(metadata))
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(path, [make_model(FP32)])
