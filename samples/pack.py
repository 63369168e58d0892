"""Pack the sample crawl into WARC files shaped like those of Common Crawl.

The pages are kept as readable UTF-8 fragments and layouts, which a person can review, but the engine must meet what a
crawler stores: whole documents in old or wrong charsets, behind HTTP headers that may lie, in gzipped WARC records.
The output is byte-identical from run to run, so that tests may compare digests and a rebuilt crawl causes no rework.
"""

from __future__ import annotations

import argparse
import html
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any, get_args, get_type_hints

import yaml
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

KINDS = {"article", "exact_duplicate", "near_duplicate", "repeated_paragraph", "spam", "adult_url", "mojibake"}
KINDS |= {"legacy_charset", "lying_charset", "too_short", "listing", "other"}
HTML_TYPES = {"text/html", "application/xhtml+xml"}
CODECS = {"windows-874": "cp874"}  # names of the web that Python does not know
# What cp1252 makes of the bytes 0x80-0x9F; the five it leaves undefined stay C1 controls, as browsers treat them.
CP1252_HIGH = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}


@dataclass(frozen=True)
class Page:
    """One page as crawled: the bytes sent and its index.yaml entry, whose keys and types these fields dictate."""

    file: str
    url: str
    layout: str
    title: str
    date: datetime
    language: str
    kind: str
    expect: str
    note: str
    charset: str
    header_charset: str | None
    meta_charset: str
    mojibake: bool
    status: int
    content_type: str
    body: bytes


def garble(text: str) -> str:
    """Return `text` as it looks after its UTF-8 bytes were read as cp1252, the most common accident on the web."""
    return text.encode("utf-8").decode("latin-1").translate(CP1252_HIGH)


def _read(path: Path, where: str, key: str) -> str:
    """Read a fragment or layout; what is missing or not UTF-8 is the fault of the entry that names it."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {key}: cannot read {path}: {error}") from error


def _check_entry(entry: object, where: str) -> dict[str, Any]:
    """Return the entry with defaults filled in, or raise: a typing slip must not quietly change what a page tests."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: entry: not a mapping")
    charset = entry.get("charset", "utf-8")
    full = {"note": "", "charset": charset, "header_charset": charset, "meta_charset": charset, "mojibake": False}
    full |= {"status": 200, "content_type": "text/html"} | entry
    types = {key: hint for key, hint in get_type_hints(Page).items() if key != "body"}
    for key in full | types:
        if key not in types or key not in full:
            raise ValueError(f"{where}: {key}: {'missing' if key in types else 'unknown key'}")
        if type(full[key]) not in (get_args(types[key]) or (types[key],)):
            raise ValueError(f"{where}: {key}: unexpected value {full[key]!r}")
    rules = {
        "kind": full["kind"] in KINDS,
        "expect": full["expect"] in {"kept", "dropped", "duplicate"},
        "url": re.fullmatch(r"https?://[!-~]+", full["url"]) is not None,
        "date": full["date"].tzinfo is not None,
        "status": full["status"] in set(HTTPStatus),
        "mojibake": full["charset"] == "utf-8" or not full["mojibake"],
    }
    for key in (key for key, holds in rules.items() if not holds):
        raise ValueError(f"{where}: {key}: unfit value {full[key]!r}")
    return full


def _render(source: Path, folder: Path, entry: dict[str, Any], where: str) -> bytes:
    """Return the body as sent: the fragment inside its layout, or the bare fragment when the page is not HTML."""
    text = _read(folder / entry["file"], where, "file")
    if entry["content_type"] in HTML_TYPES:
        layout = Template(_read(source / "layouts" / f"{entry['layout']}.html", where, "layout"))
        values = {"title": html.escape(entry["title"]), "lang": entry["language"], "charset": entry["meta_charset"]}
        if not layout.is_valid() or set(layout.get_identifiers()) != {*values, "body"}:
            raise ValueError(f"{where}: layout: must use $title, $lang, $charset, $body, and no other $ but $$")
        text = layout.substitute(values, body=text)
    try:
        return (garble(text) if entry["mojibake"] else text).encode(CODECS.get(entry["charset"], entry["charset"]))
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: charset: cannot encode {error.object[error.start]!r}: {error}") from error
    except LookupError as error:
        raise ValueError(f"{where}: charset: {error}") from error


def read_pages(source: Path) -> list[Page]:
    """Return every page under `source`, sorted by url; raise ValueError, naming page and key, for a faulty entry."""
    pages: dict[str, Page] = {}
    for folder in sorted(path for path in (source / "pages").glob("*") if path.is_dir()):
        index = f"{folder.name}/index.yaml"
        try:
            entries = yaml.safe_load(_read(folder / "index.yaml", index, "file"))
        except yaml.YAMLError as error:
            raise ValueError(f"{index}: file: {error}") from error
        for number, raw in enumerate(entries if isinstance(entries, list) else [entries], 1):
            where = f"{index}, entry {number} ({raw.get('url') if isinstance(raw, dict) else raw})"
            entry = _check_entry(raw, where)
            if entry["url"] in pages:  # record ids derive from the url
                raise ValueError(f"{where}: url: taken by an earlier entry")
            pages[entry["url"]] = Page(**entry, body=_render(source, folder, entry, where))
    return [pages[url] for url in sorted(pages)]


def _record_id(identity: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}>"


def _write(
    writer: WARCWriter, kind: str, name: str, date: datetime, payload: bytes, http: StatusAndHeaders | None = None
) -> None:
    """Write one record under a fixed id and date, where warcio would take a random id and the current time."""
    headers = {
        "WARC-Type": kind,
        "WARC-Record-ID": _record_id(name if kind == "response" else f"{kind} {name}"),
        "WARC-Date": date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "WARC-Filename" if kind == "warcinfo" else "WARC-Target-URI": name,
        **({"WARC-Concurrent-To": _record_id(name)} if kind in {"request", "metadata"} else {}),
    }
    record = writer.create_warc_record("", kind, BytesIO(payload), len(payload), "", headers, http_headers=http)
    writer.write_record(record)


def _write_page(writer: WARCWriter, page: Page, with_metadata: bool) -> None:
    """Write the request, the response and, where asked, the metadata record of a page, as Common Crawl orders them."""
    host, slash, target = page.url.partition("://")[2].partition("/")
    asked = StatusAndHeaders(f"GET {slash or '/'}{target} HTTP/1.1", [("Host", host)], is_http_request=True)
    _write(writer, "request", page.url, page.date, b"", asked)
    headers = [
        ("Date", format_datetime(page.date.astimezone(UTC), usegmt=True)),
        ("Content-Type", page.content_type + (f"; charset={page.header_charset}" if page.header_charset else "")),
        ("Content-Length", str(len(page.body))),
    ]
    answer = StatusAndHeaders(f"{page.status} {HTTPStatus(page.status).phrase}", headers, protocol="HTTP/1.1")
    _write(writer, "response", page.url, page.date, page.body, answer)
    if with_metadata:
        _write(writer, "metadata", page.url, page.date, b"fetchTimeMs: 100\r\n")


def pack(source: Path, out: Path, files: int = 3) -> list[Path]:
    """Write the pages under `source` as `files` WARC files in `out` and return their paths.

    Pages are dealt out in turn, so that each file mixes languages. A file is written aside and renamed when whole: a
    reader never meets half a file. warcio compresses with zlib, whose gzip headers bear no time, so bytes repeat.
    """
    pages = list(enumerate(read_pages(source), 1))
    if not 1 <= files <= len(pages):
        raise ValueError(f"cannot deal {len(pages)} pages into {files} files")
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"crawl-{number:05d}.warc.gz" for number in range(files)]
    for number, path in enumerate(paths):
        share = pages[number::files]
        aside = path.with_name(f".{path.name}.part")
        with aside.open("wb") as stream:
            writer = WARCWriter(stream, gzip=True)
            about = b"software: samples/pack.py\r\nformat: WARC File Format 1.0\r\n"
            _write(writer, "warcinfo", path.name, min(page.date for _, page in share), about)
            for place, page in share:
                _write_page(writer, page, with_metadata=place % 10 == 0)
        aside.replace(path)
    return paths


def main() -> None:
    """Run the packer from the command line."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Pack the sample crawl into WARC files.")
    parser.add_argument("--source", type=Path, default=here / "crawl", help="folder with layouts/ and pages/")
    parser.add_argument("--out", type=Path, default=here / "build", help="folder for the WARC files")
    args = parser.parse_args()
    print(*pack(args.source, args.out), sep="\n")


if __name__ == "__main__":
    main()
