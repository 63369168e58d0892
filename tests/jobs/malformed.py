"""Inputs as the web, crawlers and broken disks make them, for the tests of whole jobs."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

SENTENCES = (
    "Η αγορά της πόλης άνοιξε νωρίς το πρωί και οι παραγωγοί έφεραν λαχανικά από τα γύρω χωριά.",
    "Οι κάτοικοι συζητούν για το νέο πάρκο που θα φτιαχτεί δίπλα στο παλιό εργοστάσιο.",
    "Ο δήμος υποσχέθηκε ότι τα έργα θα τελειώσουν πριν από το καλοκαίρι.",
    "Πολλοί νέοι επιστρέφουν στα χωριά τους και καλλιεργούν ελιές με σύγχρονες μεθόδους.",
    "Το σχολείο οργάνωσε εκδρομή στο βουνό, όπου τα παιδιά έμαθαν για τα δέντρα και τα πουλιά.",
)
WORDS = ("κήπος", "θάλασσα", "βιβλίο", "δρόμος", "μουσική", "καιρός", "ψωμί", "ταξίδι", "ιστορία", "γειτονιά")


def article(number: int) -> str:
    """A Greek text that every rule lets pass, and that is no duplicate of another number's."""
    own = [
        f"Στο κείμενο για {WORDS[number % 10]} και {WORDS[number // 10 % 10]} ο συγγραφέας {WORDS[(number + k) % 10]} "
        f"εξηγεί πώς {WORDS[(number * k) % 10]} και {WORDS[(number + k * k) % 10]} συνδέονται με {WORDS[k]}."
        for k in range(1, 8)
    ]
    return "".join(f"<p>{SENTENCES[(number + k) % 5]} {own[k]}</p>\n" for k in range(7))


def page(number: int) -> bytes:
    head = f"<!DOCTYPE html><html lang=el><head><meta charset=utf-8><title>Άρθρο {number}</title></head>"
    return f"{head}<body><article><h1>Άρθρο</h1>{article(number)}</article></body></html>".encode()


def response(body: bytes, headers: str = "Content-Type: text/html; charset=utf-8") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body


def record(http: bytes, number: int, length: int | None = None, url: str | None = None) -> bytes:
    length = len(http) if length is None else length
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Target-URI: {url or f'https://example.gr/{number}'}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {length}\r\n\r\n"
    )
    return header.encode() + http + b"\r\n\r\n"


def member(number: int) -> bytes:
    """A good compressed record."""
    return gzip.compress(record(response(page(number)), number), mtime=0)


def _squeeze(pieces: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


def _bomb(number: int) -> bytes:
    """A record of 600 MB of zeros in under a megabyte."""
    size = 600_000_000
    head = record(b"", number, size).removesuffix(b"\r\n\r\n")

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(size // 1_000_000):
            yield bytes(1_000_000)
        yield b"\r\n\r\n"

    return _squeeze(pieces())


def _page_of_200_mb(number: int) -> bytes:
    line = ("<p>" + SENTENCES[0] + "</p>\n").encode()
    count = 200_000_000 // len(line)
    start = response(b"<html><body>")
    head = record(start, number, len(start) + count * len(line)).removesuffix(b"\r\n\r\n")

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(count // 1000):
            yield line * 1000
        yield line * (count % 1000) + b"\r\n\r\n"

    return _squeeze(pieces())


def _coded(number: int, body: bytes, coding: str) -> bytes:
    return record(response(body, f"Content-Type: text/html\r\nContent-Encoding: {coding}"), number)


def _with(body: bytes, headers: str = "Content-Type: text/html") -> Callable[[int], bytes]:
    return lambda number: record(response(body, headers), number)


def _flip(data: bytes, place: float) -> bytes:
    index = int(len(data) * place)
    return data[:index] + bytes([data[index] ^ 0xFF]) + data[index + 1 :]


_ENTITIES = b'<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><html><body>&b;&b;</body></html>'

# name of the file -> bytes. A number in the call is that of the article in it; the second record, where there is one,
# is a good one: the damage before it must not cost it.
FILES: dict[str, Callable[[], bytes]] = {
    "01-truncated.warc.gz": lambda: member(1) + member(101)[:-400],
    "02-bomb.warc.gz": lambda: _bomb(2) + member(102),
    "03-content-bomb.warc": lambda: (
        _coded(3, gzip.compress(bytes(300_000_000)), "gzip") + record(response(page(103)), 103)
    ),
    "04-length-too-long.warc": lambda: record(response(page(104)), 104) + record(response(page(4)), 4, 10_000_000),
    "05-length-too-short.warc": lambda: record(response(page(5)), 5, 300) + record(response(page(105)), 105),
    "06-no-content-type.warc": lambda: record(response(page(6), "Server: x"), 6) + record(response(page(106)), 106),
    "07-nul-bytes.warc": lambda: (
        record(response(page(7).replace(b"</p>", b"\0</p>")), 7) + record(response(bytes(9999)), 107)
    ),
    "08-page-of-200-mb.warc.gz": lambda: _page_of_200_mb(8) + member(108),
    "09-deep-nesting.warc": lambda: _with(b"<div>" * 200_000 + page(9))(9) + record(response(page(109)), 109),
    "10-regex-bait.warc": lambda: _with(b"<html><body>" + b'<a href="' * 200_000 + b"<p>" * 200_000)(10),
    "11-unknown-charset.warc": lambda: _with(page(11), "Content-Type: text/html; charset=klingon-8")(11),
    "12-empty.warc.gz": lambda: b"",
    "13-garbage.warc": lambda: bytes(range(256)) * 400,
    "14-text-called-gzip.warc.gz": lambda: b"This is no archive at all.\n" * 50,
    "15-crc-error.warc.gz": lambda: _flip(member(15), 0.5) + member(115),
    "16-one-member.warc.gz": lambda: gzip.compress(
        record(response(page(16)), 16) + record(response(page(116)), 116), mtime=0
    ),
    "17-unclosed-comment.warc": lambda: _with(b"<html><body><!-- " + b"<script> " * 50_000)(17),
    "18-bad-chunks.warc": lambda: _with(b"zz\r\n" + page(18), "Content-Type: text/html\r\nTransfer-Encoding: chunked")(
        18
    ),
    "19-bad-content-coding.warc": lambda: _coded(19, b"\x1f\x8b\x08broken", "gzip") + record(response(page(119)), 119),
    "20-not-json.jsonl": lambda: b'{"text": "ab"\nnull\n[1]\n{"text": 5}\n{"other": "x"}\n\n{"text": "\\ud800"}\n',
    "21-truncated.jsonl.gz": lambda: gzip.compress(
        b"".join(json.dumps({"text": article(k)}).encode() + b"\n" for k in range(300, 500)), mtime=0
    )[:-3000],
    "22-fake.parquet": lambda: b"PAR1 but nothing else PAR1",
    "23-hostile-addresses.warc": lambda: b"".join(
        record(response(page(200 + k)), 200 + k, url=url)
        for k, url in enumerate(
            ("../../etc/passwd", "http://[::1", "javascript:alert(1)", "x" * 20_000, "http://a\tb/%00")
        )
    ),
    "24-huge-header.warc": lambda: _with(page(24), "X-Long: " + "y" * 200_000)(24) + record(response(page(124)), 124),
    "25-same-identifier.warc": lambda: record(response(page(125)), 25) + record(response(page(126)), 25),
    "26-image-as-html.warc": lambda: _with(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 200)(26),
    "27-entities.warc": lambda: _with(_ENTITIES)(27),
    "28-no-status-line.warc": lambda: record(b"garbage\r\n\r\n" + page(28), 28),
    "29-garbage-between.warc": lambda: (
        record(response(page(29)), 29) + b"junk " * 99 + b"\n" + record(response(page(129)), 129)
    ),
    "30-bad-lengths.warc": lambda: record(response(page(30)), 30, -5) + record(response(page(130)), 130),
}


def write_files(folder: Path) -> None:
    """Write every malformed file."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content())
