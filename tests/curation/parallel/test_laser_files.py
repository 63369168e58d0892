"""Files of LASER: fetched once and whole, checked, and asked for by name where they cannot be fetched."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from configs.errors import UserError
from curation.parallel.laser_files import LaserFilesConfig, laser_files

CONTENT = {"laser2.pt": b"weights" * 400_000, "laser2.spm": b"pieces"}


class Mirror(ThreadingHTTPServer):
    """A server of the two files that can be told to misbehave."""

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


def sha256(name: str) -> str:
    return hashlib.sha256(CONTENT[name]).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("fault", ["", "no length"])
def test_files_are_fetched_once(fault: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.fault = fault
    sums = {name: sha256(name).upper() for name in CONTENT} if fault else {}
    config = LaserFilesConfig(folder=str(tmp_path / "laser"), url=mirror.url, sha256=sums)
    said: list[str] = []
    files = laser_files(config, said.append)
    assert {path.name: path.read_bytes() for path in (files.model, files.pieces)} == CONTENT
    assert (files.model_sha256, files.pieces_sha256) == (sha256("laser2.pt"), sha256("laser2.spm"))
    assert laser_files(config, said.append) == files
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
        laser_files(LaserFilesConfig(folder=str(folder), url=mirror.url, sha256=sums))
    assert names(folder) == []
    for wanted in ("laser2.pt", "laser2.spm", str(folder), "LASER=off"):
        assert wanted in str(error.value)
    mirror.fault = ""
    assert laser_files(LaserFilesConfig(folder=str(folder), url=mirror.url)).model.is_file()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/laser", "http://no-such-host.invalid/laser", None])
def test_without_a_network_every_file_is_named_and_where_to_put_it(
    url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUS_CACHE", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError) as error:
        laser_files(LaserFilesConfig(url=url))
    for wanted in ("laser2.pt", "laser2.spm", str(tmp_path / "laser"), "https://", "laser.model", "LASER=off"):
        assert wanted in str(error.value)
    assert "\n" not in str(error.value)
    assert names(tmp_path / "laser") == []


def test_files_that_were_put_there_are_taken_and_nothing_is_fetched(mirror: Mirror, tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    files = laser_files(LaserFilesConfig(folder=str(tmp_path), url=mirror.url))
    assert files.model_sha256 == sha256("laser2.pt")
    (tmp_path / "laser2.spm").rename(tmp_path / "mine.spm")
    named = laser_files(LaserFilesConfig(folder=str(tmp_path), pieces=str(tmp_path / "mine.spm"), url=mirror.url))
    assert named.pieces == tmp_path / "mine.spm"
    assert mirror.asked == []


def test_a_named_file_that_is_not_there_is_an_error_and_not_replaced(mirror: Mirror, tmp_path: Path) -> None:
    config = LaserFilesConfig(model=str(tmp_path / "my.pt"), folder=str(tmp_path), url=mirror.url)
    with pytest.raises(UserError, match=r"my\.pt.*laser\.model"):
        laser_files(config)
    assert mirror.asked == []


def test_a_file_that_changed_is_an_error(mirror: Mirror, tmp_path: Path) -> None:
    config = LaserFilesConfig(folder=str(tmp_path), url=mirror.url)
    files = laser_files(config)
    files.model.write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"laser2\.pt has changed since it was fetched"):
        laser_files(config)
    (tmp_path / "laser2.pt.sha256").unlink()
    assert laser_files(config).model_sha256 == hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(UserError, match=r"laser\.sha256"):
        laser_files(LaserFilesConfig(folder=str(tmp_path), sha256={"laser2.pt": sha256("laser2.pt")}))


def test_a_checksum_of_an_unknown_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="laser3"):
        laser_files(LaserFilesConfig(folder=str(tmp_path), url=None, sha256={"laser3.pt": "0" * 64}))
