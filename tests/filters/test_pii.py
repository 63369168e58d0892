"""Personal data: what is found, what is left alone, and that replacing twice is replacing once."""

import ipaddress
import random
import time
from itertools import pairwise

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.languages import load_languages
from curation.record_schema import PII_KINDS
from filters.phones import REGIONS
from filters.pii import KINDS, PiiConfig, replace_pii
from tests.strategies import ANY_TEXT

CONFIG = PiiConfig()
# Placeholders that occur in no other text, so that they can be counted.
TAGS = PiiConfig(email="⟦e⟧", iban="⟦b⟧", ip="⟦4⟧", ipv6="⟦6⟧", card="⟦c⟧", phone="⟦p⟧")
OFF = PiiConfig(email=None, iban=None, ip=None, ipv6=None, card=None, phone=None)
KIND_OF_TAG = {"⟦e⟧": "email", "⟦b⟧": "iban", "⟦4⟧": "ip", "⟦6⟧": "ip", "⟦c⟧": "card", "⟦p⟧": "phone"}

_PIECES = [
    "+",
    "(",
    ")",
    "-",
    ".",
    " ",
    "  ",
    ": ",
    "/",
    ",",
    "\n",
    "@",
    "0",
    "00",
    "1",
    "30",
    "69",
    "4111",
    "2024",
    "192.0",
]
_PIECES += [
    "5555",
    "1234567",
    "٢١٠",
    "२",
    "Tel. ",
    "fax",
    "ISBN ",
    "电话",
    "x",
    "jo.e",
    "x.org",
    ".com",
    "Ünï.de",
    "DE",
    "::",
]
_PIECES += [
    "93.184.216.34",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+30 210 123 4567",
    "a@b.gr",
    "2a00:1450:",
]
_PIECES += [str(value) for value in CONFIG.model_dump().values()] + ["\ufdd0", "\ufdd1"]
TEXTS = st.one_of(ANY_TEXT, st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
PLACES = st.sampled_from([(), ("US",), ("GR", "CY"), ("DE", "AT", "CH"), ("FR",), ("CN", "TW")])


@given(TEXTS, PLACES)
def test_replacing_twice_is_replacing_once(text: str, regions: tuple[str, ...]) -> None:
    for config in (CONFIG, TAGS, PiiConfig(**dict.fromkeys(KIND_OF_TAG.values(), "***"), ipv6="***")):
        once, _ = replace_pii(text, config, regions)
        assert replace_pii(once, config, regions) == (once, {})


@given(TEXTS, PLACES)
def test_the_text_around_is_untouched_and_counts_are_right(text: str, regions: tuple[str, ...]) -> None:
    replaced, counts = replace_pii(text, TAGS, regions)
    rest, found = replaced, dict.fromkeys(KINDS, 0)
    place = 0
    while tags := [tag for tag in KIND_OF_TAG if tag in rest]:
        tag = min(tags, key=rest.index)
        before, _, rest = rest.partition(tag)
        assert text.startswith(before, place) if place == 0 and not any(found.values()) else before in text[place:]
        place = text.index(before, place) + len(before) + 1
        found[KIND_OF_TAG[tag]] += 1
    assert text.endswith(rest)
    assert counts == {kind: number for kind, number in found.items() if number}
    assert list(counts) == [kind for kind in KINDS if kind in counts]


@given(TEXTS, PLACES)
def test_switched_off_nothing_is_replaced(text: str, regions: tuple[str, ...]) -> None:
    assert replace_pii(text, OFF, regions) == (text, {})


@given(
    st.lists(st.sampled_from(["the", "cat", "sat,", "α", "的", "1984", "3.5", "100", "(a)", "x@", "@x"])).map(" ".join)
)
def test_text_without_personal_data_is_unchanged(text: str) -> None:
    assert replace_pii(text, CONFIG, ("US", "GR")) == (text, {})


def luhn_complete(prefix: str, length: int, seed: int) -> str:
    rest = "".join(random.Random(seed).choice("0123456789") for _ in range(length - 1 - len(prefix)))
    for check in "0123456789":
        digits = [int(digit) for digit in (prefix + rest + check)[::-1]]
        total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
        if total % 10 == 0:
            return prefix + rest + check
    raise AssertionError


CARDS = st.builds(
    luhn_complete,
    st.sampled_from(["4", "51", "55", "2221", "2720", "6011", "65", "3528", "2200", "62", "9792"]),
    st.just(16),
    st.integers(0, 10**6),
) | st.builds(luhn_complete, st.sampled_from(["34", "37"]), st.just(15), st.integers(0, 10**6))


def grouped(number: str, separator: str) -> str:
    sizes = (4, 6, 5) if len(number) == 15 else (4, 4, 4, 4)
    ends = [0, *(sum(sizes[: place + 1]) for place in range(len(sizes)))]
    return separator.join(number[start:end] for start, end in pairwise(ends))


def make_iban(country: str, account: str) -> str:
    digits = "".join(str(int(character, 36)) for character in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{account}"


IBANS = st.one_of(  # an account of zeros is the placeholder of a card
    st.from_regex("[0-9]{18}", fullmatch=True).map(lambda account: make_iban("DE", account)),
    st.from_regex("[A-Z]{4}[0-9]{14}", fullmatch=True).map(lambda account: make_iban("GB", account)),
    st.from_regex("[0-9]{23}", fullmatch=True).map(lambda account: make_iban("GR", account)),
    st.from_regex("[0-9]{11}", fullmatch=True).map(lambda account: make_iban("NO", account)),
).filter(lambda iban: "0" * 16 not in iban)
EMAILS = st.builds(
    "{}@{}.{}".format,
    st.from_regex("[a-z0-9][a-z0-9._+-]{0,20}[a-z0-9]", fullmatch=True),
    st.from_regex("[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,8})?", fullmatch=True),
    st.sampled_from(["com", "de", "gr", "co.uk", "museum", "xn--p1ai", "info"]),
)
PUBLIC_IPV4 = st.ip_addresses(v=4).filter(lambda ip: ip.is_global and not ip.is_multicast and max(ip.packed) >= 32)
PUBLIC_IPV6 = st.ip_addresses(v=6, network="2a00::/12").filter(lambda ip: not str(ip).endswith("::"))
FORMATS = st.sampled_from([phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL])
EXAMPLES = [
    number for region in sorted(phonenumbers.SUPPORTED_REGIONS) if (number := phonenumbers.example_number(region))
]
PHONES = st.builds(phonenumbers.format_number, st.sampled_from(EXAMPLES), FORMATS)
AROUND = st.sampled_from(
    [("", ""), ("see ", "."), ("(", ")"), ("是：", "，"), ("\n", "\n"), ('"', '", x'), ("или ", "; да")]
)


@given(
    st.one_of(
        EMAILS.map(lambda value: ("email", value)),
        PUBLIC_IPV4.map(lambda value: ("ip", str(value))),
        PUBLIC_IPV6.map(lambda value: ("ip", str(value))),
        CARDS.map(lambda value: ("card", value)),
        st.builds(lambda value, separator: ("card", grouped(value, separator)), CARDS, st.sampled_from(" -")),
        IBANS.map(lambda value: ("iban", value)),
        IBANS.map(lambda value: ("iban", " ".join(value[at : at + 4] for at in range(0, len(value), 4)))),
        PHONES.map(lambda value: ("phone", value)),
    ),
    AROUND,
)
def test_what_is_put_in_is_found(data: tuple[str, str], around: tuple[str, str]) -> None:
    kind, value = data
    before, after = around
    placeholder = CONFIG.ipv6 if kind == "ip" and ":" in value else getattr(CONFIG, kind)
    assert replace_pii(before + value + after, CONFIG) == (before + str(placeholder) + after, {kind: 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mailto:jo@site.org", "mailto:⟦e⟧"),
        ("jo@site.org.Then we went", "⟦e⟧.Then we went"),
        ("info@firma.fiAsiakaspalvelu", "⟦e⟧Asiakaspalvelu"),
        ("邮箱jo@site.cn联系", "邮箱⟦e⟧联系"),
        ("почта@пример.рф", "⟦e⟧"),
        ("jo@bücher.de", "⟦e⟧"),
        ("jo＠site.org", "⟦e⟧"),
        ("<jo@site.org>,'al@x.gr'", "<⟦e⟧>,'⟦e⟧'"),
        ("http://93.184.216.34:8080/a", "http://⟦4⟧:8080/a"),
        ("93.184.216.34-93.184.216.40.", "⟦4⟧-⟦4⟧."),
        ("Tel.: 210 1234567, 694 8786 532", "Tel.: ⟦p⟧, ⟦p⟧"),
        ("Phone\n\n5551234567", "Phone\n\n⟦p⟧"),
        ("هاتف: ٠٢١٢٣٤٥٦٧٨", "هاتف: ⟦p⟧"),
        ("+९१ ९८७६५ ४३२१०", "⟦p⟧"),
        ("电话：010-82612286保存", "电话：⟦p⟧保存"),
        ("전화 02-3486-9331로", "전화 ⟦p⟧로"),
        ("☎ 0201 234567", "☎ ⟦p⟧"),
        ("+44 (0)20 7919 7171 or", "⟦p⟧ or"),
        ("(+39) 010 37 47 811", "⟦p⟧"),
        ("0049-6251-103456", "⟦p⟧"),
    ],
)
def test_personal_data_in_its_ways(text: str, expected: str) -> None:
    assert replace_pii(text, TAGS)[0] == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "call (212) 555-0143 now", "call ⟦p⟧ now"),
        ("en", "at 212-555-0143, or", "at ⟦p⟧, or"),
        ("en", "Service (215-746-3535), open", "Service (⟦p⟧), open"),
        ("fr", "au 01 76 36 31 06 pour", "au ⟦p⟧ pour"),
        ("de", "Zentrale (0951) 408 39 100", "Zentrale ⟦p⟧"),
        ("de", "0951 / 408 39 100", "⟦p⟧"),
        ("ru", "нам: 8 (812) 407-37-97", "нам: ⟦p⟧"),
        ("ja", "は「03-5549-2566」", "は「⟦p⟧」"),
        ("pt", "(31) 3236.8400", "⟦p⟧"),
    ],
)
def test_numbers_as_they_are_written_where_a_language_is_spoken(language: str, text: str, expected: str) -> None:
    assert replace_pii(text, TAGS, REGIONS[language])[0] == expected
    assert load_languages().get(language)


@pytest.mark.parametrize(
    "text",
    [
        "2023-2024, 12.05.2024, 2024-01-31, 05/06/2024, 1/2/1999",
        "09.00-17.00, 08:30-16:45",
        "3.500.000 EUR, 1 234 567 890 people, $1,234,567.89, 300.000.000",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, ISBN 0-7900-0187-X, ISSN 2299-8128",
        "doi:10.1016/j.respol.2004.01.006, arXiv:1706.02582, PMID 20175497",
        "40.712776, -74.005974; 52°31'12\" 13°24'18\"",
        "3-0 2-1 4-4 21-19 21-15, 6-4 7-6 6-3",
        "π = 3.14159265358979, x+1234567890, 2^31-1 = 2147483647",
        "order 1234567890123, article 9954-10-3801 MZCP-004, no. 06/11/20230",
        "https://x.org/a/1234567890/b?id=2101234567&n=0123456789#210-123-4567",
        "127.0.0.1 10.1.2.3 192.168.1.1 172.16.0.0/12 255.255.255.0 169.254.1.1 224.0.0.1 0.0.0.0",
        "version 91.4.77.3, v93.184.216.34, 1.2.3.4, section 3.1.2.11, 300.1.1.1, 1.2.3.4.5.6, 01.42.68.53",
        "12:34:56:78:9a:bc, std::vector::size, 2024::, fe80::1, ::1, 2001:db8::5, 20:30:40",
        "4111 1111 1111 1112, 1234 5678 9012 3456, 4111-1111 1111-1111, 4111 1111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 01, XX00 0000 0000 0000 0000, AB12 CDEF",
        "user@host, @name, a@b, image@2x.png, react@18.2.0, jo@example.com, jo@mail.example.org, me@home.test, @@",
        "© 2010-2020 | 1 2 3 4 5 6 7 8 9 10 | 京ICP备14007167号-4",
    ],
)
@pytest.mark.parametrize("language", ["en", "de", "fr", "ru", "zh", "es"])
def test_what_is_no_personal_data_stays(text: str, language: str) -> None:
    assert replace_pii(text, CONFIG, REGIONS[language]) == (text, {})


def test_a_kind_is_switched_off_alone() -> None:
    text = (
        "jo@site.org, 93.184.216.34, 2a00:1450::1, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00, +30 210 123 4567"
    )
    _, every = replace_pii(text, CONFIG)
    assert every == {"email": 1, "iban": 1, "ip": 2, "card": 1, "phone": 1}
    for kind in KINDS:
        _, counts = replace_pii(text, CONFIG.model_copy(update={kind: None}))
        assert counts == {name: number - (name == kind) for name, number in every.items() if number > (name == kind)}


@pytest.mark.parametrize("placeholder", ["", "a\ufdd0"])
def test_a_placeholder_that_could_not_be_told_is_refused(placeholder: str) -> None:
    with pytest.raises(ValidationError):
        PiiConfig(email=placeholder)


def test_the_default_placeholders_belong_to_nobody() -> None:
    assert not ipaddress.ip_address(str(CONFIG.ip)).is_global
    assert not ipaddress.ip_address(str(CONFIG.ipv6)).is_global
    bare = "; ".join(str(value) for value in CONFIG.model_dump().values())
    assert replace_pii(bare, TAGS, REGIONS["en"]) == (bare, {})


def test_every_language_of_the_table_has_regions_that_exist() -> None:
    assert {language.code for language in load_languages().languages} <= REGIONS.keys()
    assert {region for regions in REGIONS.values() for region in regions} <= set(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    "piece",
    [
        "7",
        "1 ",
        "123 ",
        "123-",
        "1.",
        "(0",
        "+",
        "+1 ",
        "+30 2 1 0 ",
        "@",
        "a@",
        "a@b.",
        "a.",
        "A",
        "GB29 ",
        "2a00:",
        "Tel 12 ",
    ],
)
def test_time_grows_with_the_length_and_not_with_its_square(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.perf_counter()
    replace_pii(text, CONFIG, REGIONS["en"])
    assert time.perf_counter() - start < 20


def test_the_tables_count_every_kind() -> None:
    assert PII_KINDS == KINDS
