"""What a mixture is measured on, where it says so: held-out texts of sources that it draws from, or does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.load import validate_config
from mixing.export.megatron import megatron_validation_path
from mixing.export.nanotron import export_nanotron
from mixing.mixture.manifest import load_manifest, read_manifest
from mixing.mixture.manifest_diff import compare_manifests
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig, load_mixture
from mixing.mixture.publish import write_mixture
from mixing.mixture.report_utilization import render_mixture
from mixing.stream.stage_stream import open_validation
from mixing.stream.state import StreamConfig
from tests.mixing.mixture.test_manifest import rewrite
from tests.mixing.mixture.test_report import cells
from tests.mixing.mixture.token_folders import TOKENIZER, even_rows, write_source
from tests.mixing.stream.real_tokens import made_tokens, write_tokens


def config(*drawn: str, **settings: object) -> MixtureConfig:
    """Return a mixture of one stage that draws from some sources."""
    stage = {
        "name": "one",
        "tokens": 200,
        "learning_rate": {"schedule": "constant", "peak": 1e-5},
        "categories": {"all": {"share": 1, "sources": list(drawn)}},
    }
    return validate_config({"name": "m", "sequence_length": 16, "stages": [stage], **settings}, MixtureConfig, "m.yaml")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Return a folder of sources: two of Greek, one without held-out texts, one with these alone."""
    folder = tmp_path / "tokens"
    write_tokens(folder, "el", [[20] * 30], [8, 9])
    write_tokens(folder, "tr", [[20] * 30], [10])
    write_source(folder, "el-raw", [even_rows(30, 900)], ["el"], validation=even_rows(3, 24))
    write_source(folder, "kk", [even_rows(30, 600)])
    write_source(folder, "exam", [], ["de"], validation=even_rows(4, 40))
    return folder


def make(own: MixtureConfig, tokens: Path) -> Manifest:
    return write_mixture(own, tokens, tokens.parent / "mixtures")


def measured(manifest: Manifest) -> list[str]:
    return [own.source for own in manifest.validation]


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        (None, ["el-raw"]),
        (["el"], ["el"]),
        (["el*"], ["el", "el-raw"]),
        (["tr", "e*"], ["exam", "el", "el-raw", "tr"]),  # by language
        (["*", "el", "el"], ["exam", "el", "el-raw", "tr"]),  # of kk there are none, which a glob does not mind
    ],
)
def test_a_mixture_says_what_it_is_measured_on(tokens: Path, validation: object, expected: list[str]) -> None:
    made = make(config("el-raw", "kk", validation=validation), tokens)
    assert measured(made) == expected
    assert load_manifest(tokens.parent / "mixtures" / "m", deep=True) == made
    assert [own.source for own in made.stages[0].sources] == ["el-raw", "kk"]
    told = {own.source: own for own in made.validation}
    for name, own in told.items():
        facts = json.loads((tokens / name / "tokens.json").read_text())
        assert (own.sequences, own.tokens) == (facts["validation"]["documents"], facts["validation"]["tokens"])
        assert all(shard.name.startswith("validation/") for shard in own.shards)
        assert own.folder == f"../../tokens/{name}"


def test_variants_of_a_corpus_are_measured_on_the_same_texts(tokens: Path) -> None:
    """What differs between them is what is trained on; by default, each would be measured on its own texts."""
    first, second = (make(config(name, validation=["el"]), tokens) for name in ("el", "el-raw"))
    assert first.validation == second.validation
    changes = compare_manifests(first, second)
    assert changes
    assert not [own for own in changes if own.place.startswith("validation")]
    assert make(config("el"), tokens).validation != make(config("el-raw"), tokens).validation


def test_what_is_measured_only_is_not_trained_on(tokens: Path) -> None:
    made = make(config("kk", validation=["exam"]), tokens)
    assert measured(made) == ["exam"]
    assert made.validation[0].language == "de"
    for own, message in (
        (config("exam", validation=["exam"]), "the source 'exam' is empty: it has no tokens for training"),
        (config("kk", validation=["exam"], max_epochs_of={"exam": 2}), "'exam' matches no source of this mixture: kk"),
    ):
        with pytest.raises(UserError, match=message):
            make(own, tokens)
    assert read_manifest(tokens.parent / "mixtures" / "m") == made


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            ["el-rw"],
            "validation: there is no source 'el-rw' in {} - did you mean 'el-raw'?; there are: el, el-raw, exam",
        ),
        (["el", "x*"], "validation: the glob 'x*' matches no source in {}; there are: el, el-raw, exam, kk, tr"),
        (
            ["el", "kk"],
            "validation: 'kk' stands for no source with held-out texts; with some are: el, el-raw, exam, tr",
        ),
        (["k*"], "validation: 'k*' stands for no source with held-out texts; with some are: el, el-raw, exam, tr"),
    ],
)
def test_what_stands_for_nothing_is_one_line(tokens: Path, validation: object, message: str) -> None:
    with pytest.raises(UserError) as raised:
        make(config("tr", validation=validation), tokens)
    assert message.format(tokens) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not list((tokens.parent / "mixtures").glob("[!.]*"))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[]", "validation: there is none; name one at least"),
        ("el", "validation: "),
        ("[no, el]", "validation.0: YAML reads this as a truth value, as it does the code of Norwegian"),
        ("[el, {name: tr}]", "validation.1: "),
        ("['']", "validation.0: String should have at least 1 character"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, written: str, message: str) -> None:
    path = tmp_path / "m.yaml"
    plan = "learning_rate: {schedule: constant, peak: 1.0e-5}, categories: {all: {share: 1, sources: [el]}}"
    stage = f"{{name: one, tokens: 100, {plan}}}"
    path.write_text(f"name: m\nsequence_length: 16\nvalidation: {written}\nstages: [{stage}]\n")
    with pytest.raises(UserError) as raised:
        load_mixture(path)
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_other_tokenizers_and_unfinished_sources_are_refused(tokens: Path) -> None:
    write_source(tokens, "ja", [even_rows(3, 30)], validation=even_rows(2, 20), tokenizer={**TOKENIZER, "eod_id": 1})
    (tokens / "half").mkdir()
    for name, message in (
        ("ja", "the sources of a mixture need one tokenizer"),
        ("h*", "no finished tokens in .*half"),
    ):
        with pytest.raises(UserError, match=message):
            make(config("el", validation=[name]), tokens)


def test_rewritten_held_out_texts_are_noticed(tokens: Path) -> None:
    made = make(config("kk", validation=["exam"]), tokens)
    folder, path = tokens.parent / "mixtures" / "m", tokens / "exam" / "validation" / "part-00000.bin"
    before = path.read_bytes()
    rewrite(path)
    with pytest.raises(UserError, match=r"exam/validation/part-00000\.bin is not the file"):
        load_manifest(folder, deep=True)
    path.write_bytes(before)
    write_source(tokens, "exam", [], ["de"], validation=[*even_rows(4, 40)][::-1])
    assert load_manifest(folder) == made
    write_source(tokens, "exam", [], ["de"], validation=[{"tokens": 7}, {"tokens": 33}])
    with pytest.raises(UserError, match=r"exam/validation/part-00000 was rewritten since the mixture .* was made"):
        load_manifest(folder)
    again = make(config("kk", validation=["exam"]), tokens)
    assert {(own.place, own.what) for own in compare_manifests(made, again)} == {
        ("validation, source exam", "documents"),
        ("validation, source exam", "shards"),
    }


def test_the_difference_names_what_is_measured(tokens: Path) -> None:
    first, second = (make(config("el", validation=own), tokens) for own in (["el"], ["el", "exam"]))
    found = {(own.place, own.what): (own.before, own.after) for own in compare_manifests(first, second)}
    assert found["validation, source exam", "language"] == ("", "de")
    assert found["validation, source exam", "tokens"] == ("", "40")
    assert {place for place, _ in found} == {"validation, source exam"}


def test_the_report_tells_what_is_measured_and_what_is_not(tokens: Path) -> None:
    page = render_mixture(make(config("el-raw", "kk", "tr", validation=["el*", "exam"]), tokens))
    assert cells(page, "validation") == [
        ["de German", "exam (not drawn from)", "4", "40"],
        ["el Greek", "el (not drawn from), el-raw", "5", "41"],
    ]
    assert "No texts are measured of: kk, tr." in page
    assert "de German" not in [row[0] for row in cells(page, "utilization")]
    assert "No texts are measured of" not in render_mixture(make(config("el"), tokens))


def test_the_stream_and_exports_find_them(tokens: Path) -> None:
    mixture = tokens.parent / "mixtures" / "m"
    made = make(config("tr", validation=["el"]), tokens)
    stream = open_validation(mixture, "el", StreamConfig(sequence_length=20, packing="best_fit"))
    read = [token for batch in stream for token in batch.inputs().ravel().tolist()]
    held_out = [made_tokens("el", number, length) for number, length in ((30, 8), (31, 9))]
    assert {token for token in read if token} == {token for document in held_out for token in document if token}
    with pytest.raises(UserError, match="has no validation texts of 'tr'"):
        open_validation(mixture, "tr", StreamConfig(sequence_length=20))
    assert megatron_validation_path(mixture, made) == ["1.0", str(tokens / "el" / "validation" / "part-00000")]
    export_nanotron(mixture, made, tokens.parent / "out", 1)
    assert [path.name for path in (tokens.parent / "out").iterdir() if path.is_dir()] == ["1-tr"]


def test_a_manifest_that_counts_held_out_texts_twice_is_refused(tokens: Path) -> None:
    make(config("tr", validation=["el"]), tokens)
    path = tokens.parent / "mixtures" / "m" / "manifest.json"
    data = json.loads(path.read_text())
    data["validation"] *= 2
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="the validation texts of 'el' stand there twice: the manifest was changed"):
        load_manifest(path)
