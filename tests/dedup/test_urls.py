"""Addresses of one page have one spelling, those of different pages do not; nothing breaks it."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.urls import OLDEST, TRACKING, TRACKING_PREFIXES, canonical_url, instant, web_address
from tests.strategies import ANY_TEXT


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.org", "example.org"),
        ("HTTPS://WWW.Example.ORG/", "example.org"),
        ("http://example.org:80/a", "example.org/a"),
        ("https://example.org:443/a", "example.org/a"),
        ("http://example.org:443/a", "example.org:443/a"),
        ("http://example.org./a", "example.org/a"),
        ("  http://example.org/a\n", "example.org/a"),
        ("http://example.org/a#part", "example.org/a"),
        ("http://example.org/a?", "example.org/a"),
        ("http://example.org/a?&&", "example.org/a"),
        ("http://example.org/A", "example.org/A"),
        ("http://example.org/%7eme/%c3%a9", "example.org/~me/%C3%A9"),
        ("http://example.org/é", "example.org/%C3%A9"),
        ("http://example.org/a%2Fb", "example.org/a%2Fb"),
        ("http://example.org/100%", "example.org/100%25"),
        ("http://example.org/a/./b/../c", "example.org/a/c"),
        ("http://example.org/a/b/..", "example.org/a/"),
        ("http://example.org/../../a", "example.org/a"),
        ("http://example.org/%2e%2E/a", "example.org/a"),
        ("http://example.org/a//b/", "example.org/a//b/"),
        ("http://example.org/?b=2&a=1", "example.org?a=1&b=2"),
        ("http://example.org/?q=a%20b", "example.org?q=a+b"),
        ("http://example.org/a?utm_source=x&id=7&UTM_Medium=y&fbclid=z", "example.org/a?id=7"),
        ("http://example.org/a?PHPSESSID=0a1b", "example.org/a"),
        ("http://example.org/a;jsessionid=0A1B.node?id=7", "example.org/a?id=7"),
        ("http://example.org/(S(lit3py55t21z5v55vlm25s55))/a.aspx", "example.org/a.aspx"),
        ("http://example.org/a?sid=0123456789abcdef0123456789ABCDEF", "example.org/a"),
        ("http://example.org/a?sid=12&s=cats", "example.org/a?s=cats&sid=12"),
        ("http://example.org/a?session_id=4", "example.org/a?session_id=4"),
        ("http://müller.de/", "xn--mller-kva.de"),
        ("http://xn--mller-kva.de/", "xn--mller-kva.de"),
        ("http://[2001:DB8::1]:8080/a", "[2001:db8::1]:8080/a"),
        ("http://user@example.org/a", "user@example.org/a"),
    ],
)
def test_the_spelling_of_an_address(url: str, expected: str) -> None:
    assert canonical_url(url) == web_address(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "n/a",
        "example.org/a",
        "ftp://example.org/a",
        "http://",
        "http:///a",
        "http://[::1/a",
        "http://a:b/",
        "urn:x:1",
    ],
)
def test_what_is_no_address_of_the_web_stays_as_it_is(url: str) -> None:
    assert canonical_url(f" {url}\n") == url
    assert web_address(url) is None


_PARTS = [
    "http://",
    "https://",
    "www.",
    "a.org",
    ":80",
    ":",
    "/",
    "..",
    ".",
    ";sid=1",
    "?",
    "&",
    "=",
    "%",
    "%2e",
    "%7E",
]
_PARTS += ["#", "@", "[", "]", " ", "é", "\ud800", "\u3000", "(s(", "utm_x=1", "b=2", "\x00", "ß", "％", "．"]


@given(
    st.one_of(ANY_TEXT.map("http://".__add__), ANY_TEXT, st.lists(st.sampled_from(_PARTS), max_size=12).map("".join))
)
def test_nothing_breaks_it_and_a_second_time_changes_nothing(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once
    assert once == once.strip()


SEGMENTS = st.lists(st.text("ab~ é/", min_size=1, max_size=4), max_size=3)
PARAMETERS = st.lists(st.tuples(st.text("cdé", min_size=1, max_size=2), st.text("a &=+%é", max_size=4)), max_size=4)


@given(SEGMENTS, PARAMETERS, st.data())
def test_addresses_that_differ_in_spelling_only_are_one(
    segments: list[str], parameters: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Both addresses are made from the same decoded parts; only one of them is written plainly."""
    path = "".join(f"/{quote(segment, safe='')}" for segment in segments)
    plain = f"https://example.org{path}?{urlencode(parameters)}"
    escaped = "".join(f"/{''.join(f'%{byte:02x}' for byte in segment.encode())}" for segment in segments)
    noise = data.draw(st.lists(st.sampled_from([f"{p}x=1" for p in TRACKING_PREFIXES] + [f"{t}=1" for t in TRACKING])))
    shuffled = data.draw(st.permutations([urlencode([own]) for own in parameters] + noise))
    other = f"HTTP://WWW.EXAMPLE.ORG:80/./x/..{escaped}?{'&'.join(shuffled)}#top"
    assert canonical_url(plain) == canonical_url(other)


@given(SEGMENTS, PARAMETERS, SEGMENTS, PARAMETERS)
def test_addresses_of_different_pages_stay_apart(
    path: list[str], query: list[tuple[str, str]], other_path: list[str], other_query: list[tuple[str, str]]
) -> None:
    def page(path: list[str], query: list[tuple[str, str]]) -> str:
        return canonical_url(
            "http://a.org" + "".join("/" + quote(own, safe="") for own in path) + "?" + urlencode(query)
        )

    same = path == other_path and sorted(query) == sorted(other_query)
    assert (page(path, query) == page(other_path, other_query)) == same


def test_the_path_is_still_the_path() -> None:
    word = string.punctuation
    assert unquote(canonical_url(f"http://a.org/{quote(word, safe='')}")) == f"a.org/{word}"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("", "0001-01-01"),
        ("no date", "1999"),
        ("2024-03-01T12:00:00Z", "2024-03-01T12:00:00.5Z"),
        ("2024-03-01T14:00:00+03:00", "2024-03-01T12:00:00"),
        ("2024-03", "2024-03-02"),
        ("2024", "20240102"),
        ("9999-12-30", "9999-12-31T23:59:59-23:59"),
    ],
)
def test_dates_are_compared_as_instants(earlier: str, later: str) -> None:
    assert instant(earlier) < instant(later)


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_time_zones(moment: datetime, minutes: int) -> None:
    shifted = moment.isoformat() + f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    assert instant(shifted) == instant(moment.isoformat()) - minutes * 60_000_000
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert instant(moment.isoformat()) == since // timedelta(microseconds=1)


@given(ANY_TEXT)
def test_any_text_is_some_date(text: str) -> None:
    assert OLDEST <= instant(text) < 1 << 63


def test_long_addresses_take_no_long_time() -> None:
    assert canonical_url("http://a.org/" + "../" * 300_000) == "a.org"
    assert canonical_url("http://a.org/?" + "b&" * 300_000).count("b") == 300_000
