"""From configuration and token folders to a manifest, and a manifest that notices when its bytes were rewritten."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.feasible import ShortOfTokensError
from mixing.mixture.manifest import load_manifest, read_manifest, token_folder
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.mixture.slices import read_slice
from tests.curation.peak import peak_growth_mb
from tests.mixing.mixture.token_folders import TOKENIZER, Row, even_rows, write_source

Data = dict[str, object]


def config(*categories: Data, **settings: object) -> MixtureConfig:
    """Return a mixture of a stage of 1,000 tokens for each of `categories`, which name category by category."""
    stages = [
        {
            "name": f"stage-{place + 1}",
            "tokens": 1000,
            "learning_rate": {"schedule": "constant", "peak": 1e-5},
            "categories": own,
        }
        for place, own in enumerate(categories)
    ]
    return validate_config({"name": "m", "sequence_length": 16, "stages": stages, **settings}, MixtureConfig, "m.yaml")


def only(*sources: object, **settings: object) -> Data:
    return {"all": {"share": 1, "sources": list(sources), **settings}}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Return a folder with four sources of some thousand tokens, two of them of one language."""
    folder = tmp_path / "tokens"
    for name, count in (("el", 3000), ("kk", 500), ("tr", 8000)):
        rows: list[Row] = [{**row, "metrics.words": float(n)} for n, row in enumerate(even_rows(50, count))]
        write_source(folder, name, [rows[:30], rows[30:]], validation=even_rows(2, 20))
    write_source(folder, "el-news", [even_rows(10, 1000)], ["el"])
    (folder / "tokenizer").mkdir()  # `make tokens` keeps the tokenizer there
    return folder


def make(own: MixtureConfig, tokens: Path) -> Manifest:
    return write_mixture(own, tokens, tokens.parent / "mixtures")


def test_a_manifest_says_what_is_trained_on(tokens: Path) -> None:
    half = {"share": 0.5, "sources": ["tr"]}
    manifest = make(
        config({"low": {"share": 0.5, "sources": ["el*", "kk"], "spread": "uniform"}, "high": half}), tokens
    )
    folder = tokens.parent / "mixtures" / "m"
    data = json.loads((folder / "manifest.json").read_text())
    assert read_manifest(folder) == manifest == load_manifest(folder / "manifest.json", deep=True)
    assert "shares of a stage's TOKENS" in data["shares"]
    assert data["tokenizer"] == TOKENIZER
    stage = data["stages"][0]
    assert {own["source"]: own["tokens"] for own in stage["sources"]} == {
        "el": 188, "el-news": 62, "kk": 250, "tr": 500,
    }  # fmt: skip
    first = stage["sources"][0]
    told = json.loads((tokens / "el" / "tokens.json").read_text())["shards"]
    names = ("name", "bin_checksum", "idx_checksum", "sequences", "tokens")
    assert first["shards"] == [{name: shard[name] for name in names} for shard in told if shard["split"] == "train"]
    assert token_folder(folder / "manifest.json", first["folder"]) == tokens / "el"
    assert first["weight"] == 188 / 1000
    assert first["epochs"] == 188 / 3000
    assert [(own["source"], own["tokens"]) for own in data["validation"]] == [("el", 20), ("kk", 20), ("tr", 20)]
    assert all(shard["name"].startswith("validation/") for own in data["validation"] for shard in own["shards"])
    assert not any(s["name"].startswith("validation/") for own in stage["sources"] for s in own["shards"])
    assert (folder / "report.html").is_file()
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "report.html"}


def test_the_same_mixture_is_the_same_bytes(tokens: Path) -> None:
    own = config(only("*", where={"tokens": {"min": 10}}), max_epochs=3)
    folder = tokens.parent / "mixtures" / "m"
    seen = []
    for _ in range(2):
        make(own, tokens)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        seen.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2 + 4  # manifest, report, and a slice of each source


def test_stages_share_the_epochs_of_the_run(tokens: Path) -> None:
    """Of 3,000 tokens twice, two stages of 1,000 leave 4,000; a cap of a stage holds in that stage alone."""
    manifest = make(config(only("el"), only("el"), max_epochs_of={"el": 2}), tokens)
    first, second = (stage.sources[0] for stage in manifest.stages)
    assert [first.epochs_before, second.epochs_before] == [0, pytest.approx(1 / 3)]
    assert second.run_max_epochs == 2
    with pytest.raises(ShortOfTokensError, match=r"stage 'stage-2' .* el of category 'all' is 500 tokens short"):
        make(config(only("el"), only("el"), max_epochs_of={"e*": 0.5}), tokens)
    with pytest.raises(ShortOfTokensError, match="kk of category 'all' is 500 tokens short"):
        make(config(only({"name": "kk", "max_epochs": 1}), max_epochs=None), tokens)
    capped = only({"name": "kk", "max_epochs": 2})
    assert make(config(capped, capped, max_epochs=None), tokens).stages[1].sources[0].epochs_before == 2


def test_the_tighter_of_two_caps_holds_and_all_stages_before_count(tokens: Path) -> None:
    kk = only({"name": "kk", "max_epochs": 2})
    with pytest.raises(ShortOfTokensError, match=r"'stage-1' .* is 500 tokens short"):
        make(config(only({"name": "kk", "max_epochs": 1}), max_epochs=2), tokens)
    with pytest.raises(ShortOfTokensError, match=r"'stage-3' .* is 500 tokens short"):
        make(config(kk, kk, kk, max_epochs=5), tokens)
    assert [own.sources[0].epochs_before for own in make(config(kk, kk, kk, max_epochs=6), tokens).stages] == [0, 2, 4]


def test_epochs_of_different_slices_are_added(tokens: Path) -> None:
    some = only("kk", where={"metrics.words": {"min": 25}})
    manifest = make(config(only("kk"), some, max_epochs=6), tokens)
    second = manifest.stages[1].sources[0]
    assert (second.available_tokens, second.source_tokens, second.epochs, second.epochs_before) == (250, 500, 4, 2)
    with pytest.raises(ShortOfTokensError, match="is 250 tokens short"):  # 5 - 2 epochs of 250 tokens
        make(config(only("kk"), some, max_epochs=5), tokens)


def test_what_is_short_can_be_redistributed(tokens: Path) -> None:
    low = {"share": 0.9, "sources": ["kk", "el"], "spread": {"shares": {"kk": 0.8, "el": 0.2}}}
    categories: Data = {"low": low, "high": {"share": 0.1, "sources": ["tr"]}}
    with pytest.raises(ShortOfTokensError, match=r"kk of .* 220 tokens short .* `when_short: redistribute`"):
        make(config(categories), tokens)
    data = config(categories).model_dump(mode="json")
    data["stages"][0]["when_short"] = "redistribute"
    manifest = make(validate_config(data, MixtureConfig, "m"), tokens)
    assert {own.source: own.tokens for own in manifest.stages[0].sources} == {"kk": 500, "el": 400, "tr": 100}


def test_slices_are_written_by_shard_and_shared_by_stages(tokens: Path) -> None:
    long = only({"name": "tr", "min_tokens": 2, "where": {"metrics.words": {"min": 28}}})
    manifest = make(config(long, long, max_epochs=2), tokens)
    first, second = (stage.sources[0].where for stage in manifest.stages)
    assert first is not None
    assert first == second
    assert read_slice(tokens.parent / "mixtures" / "m" / first.file).tolist() == list(range(28, 50))
    assert first.documents_by_shard == (2, 20)
    assert (first.documents, first.tokens) == (22, 22 * 160)
    assert len(list((tokens.parent / "mixtures" / "m" / "slices").iterdir())) == 1


def test_a_name_goes_before_a_glob(tokens: Path) -> None:
    manifest = make(config(only("e*", {"name": "el", "max_epochs": 3}, "kk", without=["kk"]), max_epochs=None), tokens)
    caps = {own.source: own.max_epochs for own in manifest.stages[0].sources}
    assert caps == {"el": 3, "el-news": None}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            config(only("el-new")),
            "there is no source 'el-new' in .* - did you mean 'el-news'?; there are: el, el-news, kk, tr",
        ),
        (config(only("x*")), "stage 'stage-1', category 'all': the glob 'x*' matches no source in"),
        (config(only("el", "el")), "'el' and 'el' both stand for the source 'el'"),
        (config(only("e*", "*l")), "'e*' and '*l' both stand for the source 'el'"),
        (config(only("el", without=["e*"])), "`without` leaves no source"),
        (
            config({"a": {"share": 0.5, "sources": ["*"]}, "b": {"share": 0.5, "sources": ["kk"]}}),
            "the source 'kk' stands in the categories 'a' and 'b'",
        ),
        (config(only("el", where={"tokens": {"min": 10**6}})), "no document fulfils"),
        (config(only("el", where={"metric.words": {"min": 1}})), "has no column 'metric.words' - did you mean"),
        (config(only("el", min_tokens=3, where={"tokens": {"max": 9}})), "is bounded by `where: tokens` and by min_to"),
        (config(only("el"), max_epochs_of={"tr": 3}), "max_epochs_of: 'tr' matches no source of this mixture: el"),
        (config(only("*"), max_epochs_of={"e*": 3, "*l": 2}), "both give a cap to 'el'"),
        (config(only("el", spread={"shares": {"tr": 1}})), "the spread's shares are over languages, and it lacks el"),
        (config(only("el"), tokenizer="b" * 64), "asks for the tokenizer bbbb"),
        (config(only("el"), tokenizer="nowhere.json"), "neither the SHA-256 of a tokenizer nor a file"),
        (config(only("kk"), max_epochs=0), "no tokens are left that these shares could be met with"),
    ],
)
def test_mistakes_are_one_clear_line_and_leave_nothing(tokens: Path, own: MixtureConfig, message: str) -> None:
    with pytest.raises(UserError) as raised:
        make(own, tokens)
    for part in message.split(".*"):
        assert part in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not list((tokens.parent / "mixtures").glob("[!.]*"))


def test_a_failed_mixture_leaves_the_one_before(tokens: Path) -> None:
    made = make(config(only("el")), tokens)
    with pytest.raises(UserError):
        make(config(only("kk")), tokens)
    assert load_manifest(tokens.parent / "mixtures" / "m", deep=True) == made


def test_a_folder_that_is_no_mixture_is_not_replaced(tokens: Path) -> None:
    (tokens.parent / "mixtures" / "m").mkdir(parents=True)
    (tokens.parent / "mixtures" / "m" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is in the way: it is no mixture"):
        make(config(only("el")), tokens)
    assert (tokens.parent / "mixtures" / "m" / "notes.txt").read_text() == "mine"


def test_a_replaced_mixture_keeps_no_slice_of_the_old_one(tokens: Path) -> None:
    make(config(only("el", min_tokens=2)), tokens)
    make(config(only("el")), tokens)
    assert not (tokens.parent / "mixtures" / "m" / "slices").exists()


def test_sources_that_cannot_be_used_are_refused(tokens: Path) -> None:
    own = config(only("*"))
    (tokens / "half").mkdir()
    with pytest.raises(UserError, match=r"no finished tokens in .*half"):
        make(own, tokens)
    write_source(tokens, "half", [[]])
    with pytest.raises(UserError, match="the source 'half' is empty"):
        make(own, tokens)
    write_source(tokens, "half", [[{"tokens": 3}]], tokenizer={**TOKENIZER, "sha256": "d" * 64, "name": "other"})
    with pytest.raises(UserError, match=r"el was made with test \(a{64}\), half with other \(d{64}\)"):
        make(own, tokens)
    shutil.rmtree(tokens / "half")
    write_source(tokens.parent / "elsewhere", "half", [[{"tokens": 3}]]).rename(tokens / "other")
    with pytest.raises(UserError, match="tells of the source 'half': name the folder so"):
        make(own, tokens)
    with pytest.raises(UserError, match="cannot read the folder of tokens"):
        make(own, tokens / "nowhere")


def test_no_mixture_is_made_of_a_rewritten_shard(tokens: Path) -> None:
    (tokens / "el" / "part-00001.bin").write_bytes(b"others")
    with pytest.raises(UserError, match=r"el/part-00001\.bin is not the file that `make tokens` wrote"):
        make(config(only("el")), tokens)
    rewrite(tokens / "kk" / "part-00000.idx")
    own = config(only("kk"), max_epochs=2)
    make(own, tokens)  # of the same size: only a deep look finds it
    with pytest.raises(UserError, match=r"kk/part-00000\.idx is not the file that `make tokens` wrote"):
        write_mixture(own, tokens, tokens.parent / "mixtures", deep=True)


def test_the_tokenizer_can_be_given_as_a_file(tokens: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    identity = {**TOKENIZER, "sha256": hashlib.sha256(b"{}").hexdigest()}
    write_source(tmp_path / "own", "el", [[{"tokens": 2000}]], tokenizer=identity)
    for name in (tmp_path / "tokenizer.json", tmp_path):
        assert make(config(only("el"), tokenizer=str(name)), tmp_path / "own").tokenizer.sha256 == identity["sha256"]
    with pytest.raises(UserError, match="the mixture asks for the tokenizer"):
        make(config(only("el"), tokenizer=str(tmp_path)), tokens)


def rewrite(path: Path) -> None:
    """Change a byte, and neither name nor size."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_rewritten_bytes_are_noticed(tokens: Path) -> None:
    make(config(only("el", min_tokens=2)), tokens)
    folder = tokens.parent / "mixtures" / "m"
    (file,) = (folder / "slices").iterdir()
    for path in (tokens / "el" / "part-00001.bin", tokens / "el" / "validation" / "part-00000.idx", file):
        before = path.read_bytes()
        rewrite(path)
        load_manifest(folder)  # of the same size: only a deep look finds it
        with pytest.raises(UserError, match=path.name):
            load_manifest(folder, deep=True)
        path.write_bytes(before + b"x")
        with pytest.raises(UserError, match=path.name):
            load_manifest(folder)
        path.unlink()
        with pytest.raises(UserError, match=path.name):
            load_manifest(folder)
        path.write_bytes(before)
    load_manifest(folder, deep=True)


def test_tokens_that_were_made_again_are_noticed_without_a_deep_look(tokens: Path) -> None:
    make(config(only("el")), tokens)
    folder = tokens.parent / "mixtures" / "m"
    rows = even_rows(50, 3000)
    write_source(tokens, "el", [rows[:20], rows[20:]], validation=even_rows(2, 20))
    with pytest.raises(UserError, match=r"el/part-00000 was rewritten since the mixture .* was made"):
        load_manifest(folder)
    write_source(tokens, "el", [rows], validation=even_rows(2, 20), tokenizer={**TOKENIZER, "eod_id": 1})
    with pytest.raises(UserError, match="was made with the tokenizer test"):
        load_manifest(folder)
    shutil.rmtree(tokens / "el")
    with pytest.raises(UserError, match="no finished tokens"):
        load_manifest(folder)


def test_a_moved_mixture_finds_its_tokens_where_both_move(tokens: Path) -> None:
    made = make(config(only("el")), tokens)
    moved = tokens.parent / "moved"
    moved.mkdir()
    (tokens.parent / "mixtures").rename(moved / "mixtures")
    with pytest.raises(UserError, match="no finished tokens"):
        load_manifest(moved / "mixtures" / "m")
    tokens.rename(moved / "tokens")
    assert load_manifest(moved / "mixtures" / "m", deep=True) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('"tokens": 1000,', '"tokens": 1001,'),
        ('"weight": 1.0', '"weight": 0.5'),
        ('"weight": 1.0', '"weight": NaN'),
        ('"seed": 0', '"sead": 0'),
        ('"file": "slices/', '"file": "../slices/'),
        ('"name": "part-00000"', '"name": "../part-00000"'),
        ("}", ""),
    ],
)
def test_a_changed_manifest_is_refused(tokens: Path, change: str, message: str) -> None:
    make(config(only("el", min_tokens=2)), tokens)
    path = tokens.parent / "mixtures" / "m" / "manifest.json"
    text = path.read_text()
    assert change in text
    path.write_text(text.replace(change, message, 1))
    with pytest.raises(UserError, match=r"manifest\.json"):
        load_manifest(path)


def test_weights_sum_to_one_and_tokens_to_the_budget(tokens: Path) -> None:
    for place in range(49):  # as floats, 49 times 1/49 is less than 1
        write_source(tokens, f"x{place:02}", [even_rows(3, 1000 + place)])
    data = config(only("x*", spread="uniform")).model_dump(mode="json")
    data["stages"][0]["tokens"] = 49
    sources = make(validate_config(data, MixtureConfig, "m"), tokens).stages[0].sources
    assert [own.tokens for own in sources] == [1] * 49
    assert math.fsum(1 / 49 for _ in sources) < math.fsum(own.weight for own in sources) == 1.0


def test_a_thousand_sources_of_many_shards(tmp_path: Path) -> None:
    """1,000 sources of 8 shards in three stages: 24,000 entries of shards, in memory that only they account for."""
    template = write_source(tmp_path / "tokens", "s0000", [even_rows(2, 25_000)] * 8, ["l0"])
    facts = json.loads((template / "tokens.json").read_text())
    for place in range(1, 1000):
        folder = tmp_path / "tokens" / f"s{place:04}"
        folder.mkdir()
        for path in template.iterdir():
            if path.name != "tokens.json":
                (folder / path.name).hardlink_to(path)
        own = {**facts, "source": folder.name, "languages": [f"l{place % 100}"]}
        (folder / "tokens.json").write_text(json.dumps(own))
    data = config(*[only("*", spread={"temperature": 0.3})] * 3).model_dump(mode="json")
    for stage in data["stages"]:
        stage["tokens"] = 60_000_000
    (tmp_path / "m.yaml").write_text(json.dumps(data))
    begin = time.perf_counter()
    grown = peak_growth_mb(
        "from pathlib import Path\nfrom mixing.mixture import manifest, mixture, publish",
        "folder = Path(sys.argv[1])\n"
        "own = mixture.load_mixture(folder / 'm.yaml')\n"
        "made = publish.write_mixture(own, folder / 'tokens', folder / 'out')\n"
        "assert manifest.load_manifest(folder / 'out' / 'm') == made",
        str(tmp_path),
    )
    size = (tmp_path / "out" / "m" / "manifest.json").stat().st_size / 2**20
    print(f"{time.perf_counter() - begin:.1f} s, {grown:.0f} MiB, a manifest of {size:.1f} MiB")
    assert grown < 200
