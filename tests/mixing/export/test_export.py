"""What other trainers are given: read back as they read it."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from configs.errors import UserError
from mixing.export.cli import export_command
from mixing.export.megatron import export_megatron, export_torchtitan, megatron_data_path
from mixing.export.nanotron import export_nanotron
from mixing.mixture.manifest import read_manifest
from tests.mixing.stream.real_tokens import made_tokens, make_mixture, write_tokens

LENGTHS = {"el": [[30, 20], [50]], "tr": [[25] * 12], "zh": [[40] * 5]}


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Return the folder of a mixture of two stages."""
    for name, shards in LENGTHS.items():
        write_tokens(tmp_path / "tokens", name, shards, [8] if name != "tr" else [])
    low, high = {"share": 0.3, "sources": ["el"]}, {"share": 0.7, "sources": ["tr"]}
    more = {"share": 0.5, "sources": ["zh"]}
    make_mixture(
        tmp_path,
        **{
            "main": {"tokens": 120, "categories": {"low": low, "high": high}},
            "end: 最後/..": {"tokens": 100, "categories": {"low": {**low, "share": 0.5}, "chinese": more}},
        },
    )
    return tmp_path / "mixtures" / "m"


def test_megatron_gets_shards_with_their_shares(mixture: Path) -> None:
    stage = read_manifest(mixture).stages[0]
    arguments = megatron_data_path(mixture, stage)
    tokens = mixture.parent.parent / "tokens"
    assert arguments[1::2] == [str(tokens / name) for name in ("el/part-00000", "el/part-00001", "tr/part-00000")]
    assert [float(weight) for weight in arguments[::2]] == pytest.approx([0.15, 0.15, 0.7])


def test_megatron_reads_what_is_written(mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "with a space"
    notes = export_megatron(mixture, read_manifest(mixture), out)
    assert [path.name for path in sorted(out.iterdir())] == [
        f"{name}.{ending}" for name in ("1-main", "2-end-------") for ending in ("args", "data-path", "json")
    ]
    arguments = shlex.split((out / "1-main.args").read_text())
    told = dict(zip(arguments[::2], arguments[1::2], strict=True))
    splits = json.loads(Path(told["--per-split-data-args-path"]).read_text())
    assert told["--seq-length"] == "32"
    assert told["--train-samples"] == "4"  # 120 tokens
    assert shlex.split((out / "1-main.data-path").read_text()) == splits["train"]
    assert splits["test"] is None
    assert [float(weight) for weight in splits["valid"][::2]] == [0.5, 0.5]
    assert all("validation" in prefix for prefix in splits["valid"][1::2])
    assert "max_epochs" in notes[0]
    utils = pytest.importorskip("megatron.core.datasets.utils", reason="megatron-core is not installed")
    prefixes, weights = utils.get_blend_from_list(splits["train"])
    assert sum(weights) == pytest.approx(1)
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    datasets = [indexed.IndexedDataset(prefix) for prefix in prefixes]  # their arrays die with them
    assert [dataset.sequence_lengths.tolist() for dataset in datasets] == [[30, 20], [50], [25] * 12]
    assert utils.get_blend_from_list(splits["test"]) is None


def test_nanotron_reads_what_is_written(mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "nanotron"
    export_nanotron(mixture, read_manifest(mixture), out, batch_sequences=2)
    stages = yaml.safe_load((out / "data_stages.yaml").read_text())["data_stages"]
    assert [(stage["name"], stage["start_training_step"]) for stage in stages] == [("main", 1), ("end: 最後/..", 2)]
    data = stages[0]["data"]["dataset"]
    assert data["dataset_weights"] == pytest.approx([0.3, 0.7])
    assert (data["token_size_in_bytes"], data["vocab_size"]) == (2, 300)
    folder = Path(data["dataset_folder"][0])
    assert sorted(path.name for path in folder.iterdir()) == [
        f"part-0000{place}.ds{ending}" for place in (0, 1) for ending in ("", ".index")
    ]
    assert np.fromfile(folder / "part-00000.ds.index", "<u8").tolist() == [30, 50]
    pytest.importorskip("torch")
    from datatrove.utils.dataset import DatatroveFolderDataset

    open_folder: Callable[..., Sequence[Mapping[str, Sequence[int]]]] = DatatroveFolderDataset
    dataset = open_folder(str(folder), seq_len=9, token_size=2, filename_pattern="*.ds", return_positions=True)
    assert len(dataset) == 10
    whole = [token for number, length in enumerate((30, 20, 50)) for token in made_tokens("el", number, length)]
    places = [place for length in (30, 20, 50) for place in range(length)]
    for item in range(len(dataset)):
        assert list(dataset[item]["input_ids"]) == whole[10 * item : 10 * item + 10]
    for item in (0, 1, 2, 5):  # those that begin with a document; it tells places within its own window
        assert dataset[item]["positions"][0] == 0
    assert places[50] == 0
    export_nanotron(mixture, read_manifest(mixture), out, batch_sequences=2)


def test_what_a_trainer_cannot_do_is_refused(mixture: Path, tmp_path: Path) -> None:
    plain = read_manifest(mixture)
    with pytest.raises(UserError, match="torchtitan has no weighted blend"):
        export_torchtitan()
    with pytest.raises(UserError, match="is shorter than a step of 1,000 sequences"):
        export_nanotron(mixture, plain, tmp_path / "out", batch_sequences=1000)
    longer = plain.model_copy(
        update={"stages": (plain.stages[0], plain.stages[1].model_copy(update={"sequence_length": 64}))}
    )
    with pytest.raises(UserError, match="sequences of 32 and 64 tokens"):
        export_nanotron(mixture, longer, tmp_path / "out", batch_sequences=2)
    assert not (tmp_path / "out").exists()
    root = mixture.parent.parent
    sliced = {"share": 1, "sources": [{"name": "el", "min_tokens": 25}]}
    make_mixture(root, only={"tokens": 60, "categories": {"low": sliced}})
    manifest = read_manifest(mixture)
    with pytest.raises(UserError, match="draws from chosen documents of el"):
        export_megatron(mixture, manifest, tmp_path / "out")
    with pytest.raises(UserError, match="draws from chosen documents of el"):
        export_nanotron(mixture, manifest, tmp_path / "out", batch_sequences=1)
    assert not (tmp_path / "out").exists()


def test_packing_is_said_to_be_lost(mixture: Path, tmp_path: Path) -> None:
    plain = read_manifest(mixture)
    packed = plain.model_copy(
        update={"stages": tuple(stage.model_copy(update={"packing": "best_fit"}) for stage in plain.stages)}
    )
    for notes in (
        export_megatron(mixture, packed, tmp_path / "a"),
        export_nanotron(mixture, packed, tmp_path / "b", batch_sequences=2),
    ):
        assert sum("packing" in note or "best_fit" in note for note in notes) == 2


def test_the_command_says_where_the_files_are(mixture: Path) -> None:
    app = Typer()
    app.command()(export_command)
    for trainer, file in (("megatron", "1-main.json"), ("nanotron", "data_stages.yaml")):
        result = CliRunner().invoke(app, ["--mix", str(mixture), "--trainer", trainer, "--batch", "2"])
        assert result.exit_code == 0, result.output
        assert (mixture / "export" / trainer / file).exists()
        assert str(mixture / "export" / trainer) in result.output.replace("\n", "")
    result = CliRunner().invoke(app, ["--mix", str(mixture), "--trainer", "torchtitan"])
    assert isinstance(result.exception, UserError)
