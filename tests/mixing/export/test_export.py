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
from mixing.export.megatron import export_megatron, megatron_data_path
from mixing.export.nanotron import export_nanotron
from mixing.export.stages import stage_seed
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
    arguments = megatron_data_path(mixture, stage, mixture / "out")
    assert not (mixture / "out").exists()  # there is nothing to write for whole shards
    tokens = mixture.parent.parent / "tokens"
    assert arguments[1::2] == [str(tokens / name) for name in ("el/part-00000", "el/part-00001", "tr/part-00000")]
    assert [float(weight) for weight in arguments[::2]] == pytest.approx([0.15, 0.15, 0.7])


def test_megatron_reads_what_is_written(mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "with a space"
    notes = export_megatron(mixture, read_manifest(mixture), out, "checkpoints")
    assert {path.name for path in out.iterdir()} == {"README.md"} | {
        f"{name}.{ending}" for name in ("1-main", "2-end-------") for ending in ("args", "data-path", "json")
    }
    arguments = told(out / "1-main.args")
    splits = json.loads(Path(arguments["--per-split-data-args-path"]).read_text())
    assert arguments["--seq-length"] == "32"
    assert arguments["--train-samples"] == "4"  # 120 tokens
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


def test_a_stage_begins_with_the_weights_of_the_one_before(mixture: Path, tmp_path: Path) -> None:
    """And goes on from its own checkpoints when it is started again: `--finetune` would begin anew."""
    notes = export_megatron(mixture, read_manifest(mixture), tmp_path, "msc://bucket/runs/")
    first, second = (told(tmp_path / f"{name}.args") for name in ("1-main", "2-end-------"))
    assert first["--load"] == first["--save"] == "msc://bucket/runs/m/1-main"
    assert "--pretrained-checkpoint" not in first
    assert second["--load"] == second["--save"] == "msc://bucket/runs/m/2-end-------"
    assert second["--pretrained-checkpoint"] == first["--save"]
    assert not {"--finetune"} & {*first, *second}
    assert first["--seed"] != second["--seed"]
    assert first["--lr-decay-samples"] == first["--train-samples"]
    readme = (tmp_path / "README.md").read_text()
    assert all(note in readme for note in notes)
    assert any("a text may come again" in note for note in notes)
    assert all(shlex.quote(str(tmp_path / f"{name}.args")) in readme for name in ("1-main", "2-end-------"))


def test_one_stage_has_no_notes_on_stages(mixture: Path, tmp_path: Path) -> None:
    plain = read_manifest(mixture)
    single = plain.model_copy(update={"stages": plain.stages[:1]})
    notes = [
        *export_megatron(mixture, single, tmp_path / "a", "checkpoints"),
        *export_nanotron(mixture, single, tmp_path / "b", batch_sequences=2),
    ]
    assert not any("stages before" in note or "one before" in note for note in notes)


def test_seeds_are_what_trainers_take_and_no_two_stages_share_one(mixture: Path) -> None:
    plain = read_manifest(mixture)
    for seed in (0, 3, 2**31 - 3, 2**31 - 2, 2**31 - 1, 2**32, 2**63 - 1):
        seeds = [stage_seed(plain.model_copy(update={"seed": seed}), number) for number in range(1, 9)]
        assert len(set(seeds)) == 8
        assert all(0 < own < 2**31 for own in seeds)


def test_sources_of_weight_0_and_empty_shards_are_left_out(tmp_path: Path) -> None:
    """Megatron-LM asserts that weights are above 0; a condition on a source that gives nothing is no obstacle."""
    write_tokens(tmp_path / "tokens", "el", [[30, 20], [], [50]])
    write_tokens(tmp_path / "tokens", "tr", [[25] * 12])
    spread = {"shares": {"el": 1, "tr": 0}}
    sources = ["el", {"name": "tr", "min_tokens": 5}]
    make_mixture(
        tmp_path, main={"tokens": 64, "categories": {"all": {"share": 1, "sources": sources, "spread": spread}}}
    )
    mixture, manifest = tmp_path / "mixtures" / "m", read_manifest(tmp_path / "mixtures" / "m")
    arguments = megatron_data_path(mixture, manifest.stages[0], tmp_path / "out")
    assert [Path(prefix).name for prefix in arguments[1::2]] == ["part-00000", "part-00002"]
    assert [float(weight) for weight in arguments[::2]] == [0.5, 0.5]
    export_megatron(mixture, manifest, tmp_path / "out", "checkpoints")
    assert json.loads((tmp_path / "out" / "1-main.json").read_text())["valid"] is None  # nothing is held out
    export_nanotron(mixture, manifest, tmp_path / "nanotron", batch_sequences=1)
    data = yaml.safe_load((tmp_path / "nanotron" / "data_stages.yaml").read_text())["data_stages"][0]["data"]
    assert data["dataset"]["dataset_weights"] == [1.0]


def test_more_shards_than_megatron_blends_are_refused(mixture: Path, tmp_path: Path) -> None:
    plain = read_manifest(mixture)
    stage = plain.stages[0]
    many = stage.sources[1].model_copy(update={"shards": stage.sources[1].shards * 32_766})
    crowded = stage.model_copy(update={"sources": (stage.sources[0], many)})
    with pytest.raises(
        UserError, match=r"stage 'main' draws from 32,768 shards, and Megatron-LM blends 32,766 at most"
    ):
        export_megatron(mixture, plain.model_copy(update={"stages": (crowded,)}), tmp_path / "out", "checkpoints")
    assert not (tmp_path / "out").exists()
    assert len(megatron_data_path(mixture, stage.model_copy(update={"sources": (many,)}), tmp_path)) == 2 * 32_766


@pytest.fixture
def sliced(tmp_path: Path) -> Path:
    """Return the folder of a mixture that draws from documents 1 and 4 to 7 of 8, in three of four shards."""
    write_tokens(tmp_path / "tokens", "el", [[30, 20], [40], [50, 12], [9, 9, 9]], words=[1, 8, 1, 1, 8, 8, 8, 8])
    write_tokens(tmp_path / "tokens", "tr", [[25] * 12])
    categories = {
        "el": {"share": 0.5, "sources": [{"name": "el", "where": {"words": {"min": 5}}}]},
        "tr": {"share": 0.5, "sources": ["tr"]},
    }
    stage = {"tokens": 50, "categories": categories}
    make_mixture(tmp_path, main=stage, end=stage)
    return tmp_path / "mixtures" / "m"


def test_megatron_reads_chosen_documents_by_an_index_of_their_own(sliced: Path, tmp_path: Path) -> None:
    manifest, out = read_manifest(sliced), tmp_path / "out"
    export_megatron(sliced, manifest, out, "checkpoints")
    export_megatron(sliced, manifest, out, "checkpoints")  # again, over what is there
    main, end = (json.loads((out / f"{name}.json").read_text())["train"] for name in ("1-main", "2-end"))
    assert main == end  # of the same documents
    assert [float(weight) for weight in main[::2]] == pytest.approx([*(0.5 * part / 59 for part in (20, 12, 27)), 0.5])
    prefixes = [Path(prefix) for prefix in main[1::2]]
    assert [prefix.name for prefix in prefixes] == ["part-00000", "part-00002", "part-00003", "part-00000"]
    assert {prefix.parent.parent for prefix in prefixes[:3]} == {out / "slices"}
    assert sum(path.suffix == ".idx" for path in out.rglob("*")) == 3
    assert not list(out.rglob(".*"))
    links = [prefix.with_name(f"{prefix.name}.bin") for prefix in prefixes[:3]]
    assert all(link.resolve() == sliced.parent.parent / "tokens" / "el" / link.name for link in links)
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    datasets = [indexed.IndexedDataset(str(prefix)) for prefix in prefixes[:3]]
    read = [dataset[number].tolist() for dataset in datasets for number in range(len(dataset))]
    assert read == [made_tokens("el", number, length) for number, length in ((1, 20), (4, 12), (5, 9), (6, 9), (7, 9))]
    assert [dataset.document_indices.tolist() for dataset in datasets] == [[0, 1], [0, 1], [0, 1, 2, 3]]


@pytest.mark.parametrize("numbers", [[1, 4, 5, 6, 9], [1, 3, 5, 6, 7], [0, 4, 5, 6, 7], [1, 4, 5, 6], [-9, 4, 5, 6, 7]])
def test_another_slice_than_the_manifest_tells_of_is_refused(sliced: Path, tmp_path: Path, numbers: list[int]) -> None:
    (path,) = (sliced / "slices").iterdir()
    np.save(path, np.array(numbers, dtype=np.int64))
    with pytest.raises(UserError, match="has another slice of 'el' than its manifest; run `make mixture` again"):
        export_megatron(sliced, read_manifest(sliced), tmp_path / "out", "checkpoints")
    assert not list((tmp_path / "out").glob("*.args"))


def told(path: Path) -> dict[str, str]:
    words = shlex.split(path.read_text())
    return dict(zip(words[::2], words[1::2], strict=True))


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
        export_nanotron(mixture, manifest, tmp_path / "out", batch_sequences=1)
    assert not (tmp_path / "out").exists()


def test_packing_is_said_to_be_lost(mixture: Path, tmp_path: Path) -> None:
    plain = read_manifest(mixture)
    packed = plain.model_copy(
        update={"stages": tuple(stage.model_copy(update={"packing": "best_fit"}) for stage in plain.stages)}
    )
    for notes in (
        export_megatron(mixture, packed, tmp_path / "a", "checkpoints"),
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
    assert result.exit_code == 2
    told_by_help = " ".join(CliRunner().invoke(app, ["--help"]).output.replace("│", " ").split())
    assert "torchtitan reads texts, no token shards" in told_by_help
