"""Files of LASER: the encoder of each language, fetched once and whole, checked, and asked for by name where they
cannot be fetched.
"""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.languages import load_languages
from curation.parallel.laser_files import LaserFiles, LaserFilesConfig, laser_files
from curation.parallel.laser_names import LASER3, laser3_files, laser3_name

LASER2 = {"laser2.pt": b"weights" * 400_000, "laser2.spm": b"pieces"}
NEPALI = "laser3-npi_Deva.v1.pt"
KAZAKH = ("laser3-kaz_Cyrl.v1.pt", "laser3-kaz_Cyrl.v1.spm", "laser3-kaz_Cyrl.v1.cvocab")
CONTENT = LASER2 | {"laser2.cvocab": b"a 1\n", NEPALI: b"nepali"} | {name: name.encode() for name in KAZAKH}


class Mirror(ThreadingHTTPServer):
    """A server of the files that can be told to misbehave."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.fault = ""
        self.url = f"http://127.0.0.1:{self.server_address[1]}/laser"


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name, fault = self.path.rpartition("/")[2], self.server.fault
        self.server.asked.append(name)
        body = b"" if fault == "empty" else CONTENT[name]
        self.send_response(404 if fault == "gone" else 200)
        self.send_header("Content-Type", "text/html" if fault == "page" else "application/octet-stream")
        if fault != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def laser2(config: LaserFilesConfig) -> LaserFiles:
    """Return the files of a language that LASER2 encodes."""
    (files,) = laser_files(config, ["en"])
    return files


def sha256(name: str) -> str:
    return hashlib.sha256(CONTENT[name]).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("fault", ["", "no length"])
def test_files_are_fetched_once(fault: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.fault = fault
    sums = {name: sha256(name).upper() for name in LASER2} if fault else {}
    config = LaserFilesConfig(folder=str(tmp_path / "laser"), url=mirror.url, sha256=sums)
    said: list[str] = []
    files, same = laser_files(config, ["en", "de"], said.append)
    assert {path.name: path.read_bytes() for path in (files.model, files.pieces)} == LASER2
    assert files.checksums() == {"model_sha256": sha256("laser2.pt"), "pieces_sha256": sha256("laser2.spm")}
    assert files == same
    assert files.vocabulary is None
    assert laser_files(config, ["en"], said.append) == (files,)
    assert mirror.asked == ["laser2.pt", "laser2.spm"]
    assert len(said) == 2
    assert names(tmp_path / "laser") == ["laser2.pt", "laser2.pt.sha256", "laser2.spm", "laser2.spm.sha256"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("gone", "HTTP 404"),
        ("page", "web page"),
        ("cut", "bytes"),
        ("empty", "empty"),
        ("sum", "SHA-256"),
        ("no length", "no length"),
    ],
)
def test_what_is_not_the_whole_file_is_not_kept(fault: str, message: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.fault = fault
    folder = tmp_path / "laser"
    sums = {"laser2.pt": "0" * 64} if fault == "sum" else {}
    with pytest.raises(UserError, match=message) as error:
        laser2(LaserFilesConfig(folder=str(folder), url=mirror.url, sha256=sums))
    assert names(folder) == []
    for wanted in ("laser2.pt", "laser2.spm", str(folder), "LASER=off"):
        assert wanted in str(error.value)
    mirror.fault = ""
    assert laser2(LaserFilesConfig(folder=str(folder), url=mirror.url)).model.is_file()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/laser", "http://no-such-host.invalid/laser", None])
def test_without_a_network_every_file_is_named_and_where_to_put_it(
    url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUS_CACHE", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError) as error:
        laser2(LaserFilesConfig(url=url))
    folder = str(tmp_path / "laser")
    for wanted in ("laser2.pt", "laser2.spm", folder, "https://", "stages.laser.files: model", "LASER=off"):
        assert wanted in str(error.value)
    assert "\n" not in str(error.value)
    assert names(tmp_path / "laser") == []


def test_files_that_were_put_there_are_taken_and_nothing_is_fetched(mirror: Mirror, tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    files = laser2(LaserFilesConfig(folder=str(tmp_path), url=mirror.url))
    assert files.model_sha256 == sha256("laser2.pt")
    (tmp_path / "laser2.spm").rename(tmp_path / "mine.spm")
    named = laser2(LaserFilesConfig(folder=str(tmp_path), pieces=str(tmp_path / "mine.spm"), url=mirror.url))
    assert named.pieces == tmp_path / "mine.spm"
    assert mirror.asked == []


def test_a_named_file_that_is_not_there_is_an_error_and_not_replaced(mirror: Mirror, tmp_path: Path) -> None:
    config = LaserFilesConfig(model=str(tmp_path / "my.pt"), folder=str(tmp_path), url=mirror.url)
    with pytest.raises(UserError, match=r"my\.pt.*stages\.laser\.files\.model"):
        laser2(config)
    assert mirror.asked == []


def test_a_file_that_changed_is_an_error(mirror: Mirror, tmp_path: Path) -> None:
    config = LaserFilesConfig(folder=str(tmp_path), url=mirror.url)
    files = laser2(config)
    files.model.write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"laser2\.pt has changed since it was fetched"):
        laser2(config)
    (tmp_path / "laser2.pt.sha256").unlink()
    assert laser2(config).model_sha256 == hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(UserError, match=r"stages\.laser\.files\.sha256"):
        laser2(LaserFilesConfig(folder=str(tmp_path), sha256={"laser2.pt": sha256("laser2.pt")}))


@pytest.mark.parametrize("name", ["laser3.pt", "laser3-deu_Latn.v1.pt", "laser3-npi_Deva.v1.spm", "LASER2.pt"])
def test_a_checksum_of_an_unknown_file_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"stages.laser.files.sha256 names {name}"):
        laser2(LaserFilesConfig(folder=str(tmp_path), url=None, sha256={name: "0" * 64}))


@pytest.mark.parametrize("choice", ["auto", "npi_Deva"])
def test_each_side_has_the_encoder_of_its_language(choice: str, mirror: Mirror, tmp_path: Path) -> None:
    """Nepali has an encoder of its own and the pieces of LASER2; nothing of other languages is fetched."""
    config = LaserFilesConfig(folder=str(tmp_path), url=mirror.url, laser3={"ne": choice, "kk": "auto"})
    nepali, english = laser_files(config, ["ne", "en"])
    assert (nepali.model.name, english.model.name) == (NEPALI, "laser2.pt")
    assert nepali.pieces == english.pieces == tmp_path / "laser2.spm"
    assert nepali.vocabulary == tmp_path / "laser2.cvocab"
    assert nepali.checksums() == {
        "model_sha256": sha256(NEPALI),
        "pieces_sha256": sha256("laser2.spm"),
        "vocabulary_sha256": sha256("laser2.cvocab"),
    }
    assert english.checksums() == {"model_sha256": sha256("laser2.pt"), "pieces_sha256": sha256("laser2.spm")}
    assert sorted(mirror.asked) == sorted([NEPALI, "laser2.spm", "laser2.cvocab", "laser2.pt"])


def test_an_encoder_with_pieces_of_its_own_needs_no_file_of_laser2(mirror: Mirror, tmp_path: Path) -> None:
    config = LaserFilesConfig(folder=str(tmp_path), url=mirror.url, laser3={"kk": "auto"})
    (kazakh,) = laser_files(config, ["kk"])
    assert kazakh.vocabulary is not None
    assert (kazakh.model.name, kazakh.pieces.name, kazakh.vocabulary.name) == KAZAKH
    assert mirror.asked == list(KAZAKH)
    kazakh.vocabulary.write_bytes(b"b 2\n")
    with pytest.raises(UserError, match=r"kaz_Cyrl\.v1\.cvocab has changed since it was fetched"):
        laser_files(config, ["kk"])


def test_without_a_network_the_files_of_laser3_are_named_too(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        laser_files(LaserFilesConfig(folder=str(tmp_path / "x"), url=None, laser3={"ne": "auto"}), ["en", "ne"])
    for wanted in ("laser2.pt", "laser2.spm", "laser2.cvocab", NEPALI, str(tmp_path / "x"), "laser3)"):
        assert wanted in str(error.value)
    assert "\n" not in str(error.value)
    assert names(tmp_path / "x") == []


def test_a_checkpoint_named_by_its_path_comes_with_what_lies_beside_it(mirror: Mirror, tmp_path: Path) -> None:
    for name in ("mine.pt", "laser2.spm", "laser2.cvocab"):
        (tmp_path / name).write_bytes(name.encode())
    config = LaserFilesConfig(folder=str(tmp_path / "no"), url=mirror.url, laser3={"ne": str(tmp_path / "mine.pt")})
    (files,) = laser_files(config, ["ne"])
    assert (files.model, files.pieces) == (tmp_path / "mine.pt", tmp_path / "laser2.spm")
    assert files.vocabulary == tmp_path / "laser2.cvocab"
    (tmp_path / "mine.spm").write_bytes(b"own pieces")
    with pytest.raises(UserError, match=r"no LASER file at .*mine\.cvocab \(stages\.laser\.files\.laser3\)"):
        laser_files(config, ["ne"])
    (tmp_path / "mine.cvocab").write_bytes(b"a 1\n")
    (own,) = laser_files(config, ["ne"])
    assert (own.pieces.name, own.vocabulary) == ("mine.spm", tmp_path / "mine.cvocab")
    assert own.pieces_sha256 == hashlib.sha256(b"own pieces").hexdigest()
    with pytest.raises(UserError, match=r"SHA-256 of .*mine\.spm"):
        laser_files(config.model_copy(update={"sha256": {"mine.spm": "0" * 64}}), ["ne"])
    assert mirror.asked == []


def test_a_folder_holds_the_public_files(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KAZAKH[:2]:
        (tmp_path / name).write_bytes(CONTENT[name])
    config = LaserFilesConfig(url=mirror.url, laser3={"kk": str(tmp_path)})
    with pytest.raises(UserError, match=rf"no LASER file at {tmp_path}/{KAZAKH[2]} \(stages\.laser\.files\.laser3\)"):
        laser_files(config, ["kk"])
    (tmp_path / KAZAKH[2]).write_bytes(CONTENT[KAZAKH[2]])
    monkeypatch.chdir(tmp_path)
    for choice in (str(tmp_path), "."):
        (files,) = laser_files(LaserFilesConfig(url=mirror.url, laser3={"kk": choice}), ["kk"])
        assert files.model.name == KAZAKH[0]
    assert mirror.asked == []


@pytest.mark.parametrize(
    ("laser3", "languages", "message"),
    [
        ({"de": "auto"}, ["de", "en"], "no LASER3 encoder of 'de' is public .*az, bn, fa"),
        ({"npi": "auto"}, ["de", "en"], "unknown language 'npi'.*did you mean 'ne'"),
        (
            {"ne": "nowhere/x.pt"},
            ["ne", "en"],
            r"no LASER file at nowhere/x\.pt and .* \(stages\.laser\.files\.laser3\)",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_an_error(
    laser3: dict[str, str], languages: list[str], message: str, mirror: Mirror, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        laser_files(LaserFilesConfig(folder=str(tmp_path), url=mirror.url, laser3=laser3), languages)
    assert mirror.asked == []


def test_public_encoders_are_known_by_the_languages_of_the_table() -> None:
    found = {own.code: laser3_name(own.code) for own in load_languages().languages if own.labels() & set(LASER3)}
    assert {"ne": "npi_Deva", "fa": "pes_Arab", "ms": "zsm_Latn", "az": "azj_Latn"}.items() <= found.items()
    assert len(LASER3) == len(set(LASER3)) == 147
    assert laser3_files("pes_Arab")[1:] == ("laser3-pes_Arab.v1.spm", "laser3-pes_Arab.v1.cvocab")
