"""One spelling for the many addresses of a page.

After RFC 3986, section 6.2 (case, percent-encoding, dot segments, default ports), and after what web archives take out
of addresses before they compare them (session ids, `www.`); parameters that only say where a visitor came from go, too.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pydantic import Field

from configs.load import StrictModel


class SameUrlConfig(StrictModel):
    """Of the captures of one address the newest is kept.

    Attributes:
        partitions: files that the addresses are shuffled through; None leaves it to the job.
    """

    partitions: int | None = Field(default=None, ge=1)


# Parameters that say where a visitor came from: beginnings of their names, and whole names. Names that other sites give
# to what a page is about (`ref`, `id`, `cid`) are not among them.
TRACKING_PREFIXES = ("utm_", "hsa_", "mtm_", "matomo_", "piwik_")
TRACKING = (
    "__hsfp", "__hssc", "__hstc", "_ga", "_gl", "_hsenc", "_hsmi", "_openstat", "dclid", "epik", "fb_action_ids",
    "fb_action_types", "fb_source", "fbclid", "gad_campaignid", "gad_source", "gbraid", "gclid", "gclsrc",
    "hsctatracking", "igsh", "igshid", "irclickid", "li_fat_id", "mc_cid", "mc_eid", "mkt_tok", "msclkid",
    "oly_anon_id", "oly_enc_id", "pk_campaign", "pk_content", "pk_keyword", "pk_kwd", "pk_medium", "pk_source",
    "ref_src", "ref_url", "s_kwcid", "srsltid", "ttclid", "twclid", "vero_conv", "vero_id", "wbraid", "wickedid",
    "wt_mc", "yclid", "ysclid", "zanpid",
)  # fmt: skip
# Parameters that name a visit. Those of short or common names are one only when their value looks like one.
SESSIONS = ("phpsessid", "jsessionid", "cfid", "cftoken", "oscsid", "zenid")
SESSION_PREFIXES = ("aspsessionid",)
SESSION_VALUES = re.compile(r"(?:s|sid)=[0-9a-f]{32}|session_?id=[0-9a-z]{20,}")

_DROPPED_NAMES = frozenset((*TRACKING, *SESSIONS))
_DROPPED_PREFIXES = (*TRACKING_PREFIXES, *SESSION_PREFIXES)
_PATH_SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;?]*", re.IGNORECASE)
# The visit in a path of ASP.NET: /(S(lit3py55t21z5v55vlm25s55))/page.aspx
_ASPX_SESSION = re.compile(r"/\([a-z]\([0-9a-z]{24}\)\)(?=/|$)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What may not stand in an address as it is: all but unreserved, reserved and `%` with two digits behind it.
_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]|%(?![0-9A-Fa-f]{2})")


def canonical_url(url: str) -> str:
    """Return an address in the spelling that all addresses of its page share, as far as an address can tell.

    Without scheme, `www.`, default port, fragment, tracking parameters and session ids; the host in lower case and
    ASCII, the parameters sorted, percent-encoding only where it is needed. What is no address of the web comes back
    without the white space around it.
    """
    return web_address(url) or url.strip()


def web_address(url: str) -> str | None:
    """Return `canonical_url` of an address of the web, one with a scheme http or https and a host; None of others."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, a host in brackets that do not close
        return None
    if parts.scheme not in _PORTS or not host or not (name := _host(host)):
        return None
    user, separator, _ = parts.netloc.rpartition("@")
    place = "" if port is None or port == _PORTS[parts.scheme] else f":{port}"
    path = _path(parts.path)
    query = _query(parts.query)
    return f"{_quoted(user)}{separator}{name}{place}{path if path != '/' else ''}{'?' if query else ''}{query}"


def _host(host: str) -> str:
    """Return a host without `www.`, in ASCII where it can be."""
    if ":" in host:  # an IPv6 address
        return f"[{host}]"
    if not host.isascii():
        with suppress(UnicodeError):  # what is no name is percent-encoded
            host = host.encode("idna").decode("ascii")
    host = _quoted(host.lower()).rstrip(".")
    return host.removeprefix("www.") or host


def _path(path: str) -> str:
    """Return a path without session ids and dot segments (RFC 3986, section 5.2.4)."""
    segments: list[str] = []
    every = _ASPX_SESSION.sub("", _PATH_SESSION.sub("", _quoted(path))).split("/")
    for place, segment in enumerate(every):
        if segment == "..":
            if len(segments) > 1:
                segments.pop()
        elif segment != ".":
            segments.append(segment)
            continue
        if place == len(every) - 1:  # what ends in a dot segment is a folder
            segments.append("")
    return "/".join(segments)


def _query(query: str) -> str:
    """Return the parameters that tell pages apart, sorted."""
    kept = []
    for parameter in query.split("&"):
        plain = _quoted(parameter).replace("%20", "+")
        name = plain.partition("=")[0].lower()
        if plain and not (
            name in _DROPPED_NAMES or name.startswith(_DROPPED_PREFIXES) or SESSION_VALUES.fullmatch(plain.lower())
        ):
            kept.append(plain)
    return "&".join(sorted(kept))


def _quoted(text: str) -> str:
    """Return a text percent-encoded where it has to be, with upper-case digits, and nowhere else."""
    safe = _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")), text)
    return _ESCAPE.sub(_plain_escape, safe)


def _plain_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_YEAR_OR_MONTH = re.compile(r"\d{4}(?:-\d{2})?")
OLDEST = -(1 << 63)


def instant(date: str) -> int:
    """Return the microseconds from 1970 to a date in ISO 8601, or `OLDEST` for a text that is none.

    A date without a time zone is in UTC; a year or a month is its beginning.
    """
    date = date.strip()
    if _YEAR_OR_MONTH.fullmatch(date):
        date = f"{date}-01-01"[:10]
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return OLDEST
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
