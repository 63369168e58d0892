"""Rendering: texts come through unchanged, and what is drawn is even and depends on the pair alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.languages import load_languages
from configs.load import validate_config
from mixing.telling.pairs import TextPair
from mixing.telling.render import RenderConfig, Renderer, StyleWeights, content_hash
from mixing.telling.templates import load_templates
from tests.strategies import ANY_TEXT

CODES = [language.code for language in load_languages().languages]
LIBRARY = load_templates()
# Texts that look like parts of templates, of formats and of patterns.
_TRAPS = ["{target}", "{source}", "{source_name}", "{0}", "{}", "{{", "}", "%s", "\\1", "\\g<0>", "$target", "\\n"]
_TRAPS += ["English: ", "\nGerman: ", "Translation: ", "”", "“", "\n\n", "\r\n", "\ud800", "\u2028", "①", ""]
TEXTS = st.one_of(ANY_TEXT, st.lists(st.sampled_from(_TRAPS), max_size=6).map("".join))
PAIRS = st.builds(
    TextPair, st.text(max_size=5), st.sampled_from(CODES), st.sampled_from(CODES), src_text=TEXTS, tgt_text=TEXTS
)
CONFIGS = st.builds(
    RenderConfig,
    styles=st.builds(
        StyleWeights,
        english=st.sampled_from([0.0, 0.5, 2.0]),
        source_language=st.sampled_from([0.0, 0.5, 2.0]),
        target_language=st.sampled_from([0.0, 0.5, 2.0]),
        concatenation=st.sampled_from([0.5, 3.0]),
    ),
    forward_share=st.sampled_from([0.0, 0.3, 1.0]),
    concatenation_separator=st.sampled_from(["", "\n", " {target} "]),
    seed=st.integers(0, (1 << 64) - 1),
)


def only(style: str, **others: float) -> StyleWeights:
    zeros = dict.fromkeys(StyleWeights.model_fields, 0.0)
    return StyleWeights.model_validate(zeros | {style: 1.0} | others)


def numbered(count: int, src: str = "en", tgt: str = "el") -> list[TextPair]:
    return [TextPair(str(number), src, tgt, f"text {number}", f"κείμενο {number}") for number in range(count)]


@given(PAIRS, CONFIGS)
def test_a_pair_is_read_back_from_its_text(pair: TextPair, config: RenderConfig) -> None:
    document = Renderer(config).render(pair)
    (told,) = document.pairs
    assert document.texts(told) == (pair.src_text, pair.tgt_text)
    assert told.id == pair.id
    first, second = (told.src, told.tgt) if told.direction == "forward" else (told.tgt, told.src)
    assert first[1] <= second[0]


@given(PAIRS, CONFIGS)
def test_around_the_texts_stands_what_the_template_says_and_no_more(pair: TextPair, config: RenderConfig) -> None:
    """The words around the texts are those that the same template puts around others."""
    renderer = Renderer(config)
    telling = renderer.draw(pair)
    plain = renderer.tell([TextPair("", pair.src_lang, pair.tgt_lang, "①", "②")], telling).text
    texts = {"①": pair.src_text, "②": pair.tgt_text}
    marks = "①②" if telling.direction == "forward" else "②①"
    before, rest = plain.split(marks[0])
    between, after = rest.split(marks[1])
    assert renderer.render(pair).text == f"{before}{texts[marks[0]]}{between}{texts[marks[1]]}{after}"
    if telling.style != "concatenation":
        assert not set("{}") & set(before + between + after)


@pytest.mark.parametrize("language", LIBRARY.languages)
def test_every_template_of_a_language_is_drawn_and_tells_the_pair(language: str) -> None:
    other = "tr" if language == "en" else "en"
    renderer = Renderer(RenderConfig(styles=only("source_language"), forward_share=1.0))
    documents = [renderer.render(pair) for pair in numbered(300, language, other)]
    assert {document.pairs[0].template for document in documents} == {
        template.id for template in LIBRARY.templates(language)
    }


def chi_square(counts: list[int], shares: list[float]) -> float:
    total = sum(counts)
    expected = [share * total for share in shares]
    return sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))


# Values of chi-square that chance exceeds once in a thousand draws, by degrees of freedom.
CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 13: 34.53, 27: 55.48}


def assert_even(values: list[object], kinds: int) -> None:
    counts = Counter(values)
    assert len(counts) == kinds
    assert chi_square(list(counts.values()), [1 / kinds] * kinds) < CRITICAL[kinds - 1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_templates_are_equally_likely(seed: int) -> None:
    renderer = Renderer(RenderConfig(styles=only("english"), seed=seed))
    tellings = [renderer.draw(pair) for pair in numbered(14_000)]
    assert_even([telling.frame.template for telling in tellings], 14)
    # And independent of the direction.
    assert_even([(telling.frame.template, telling.direction) for telling in tellings], 28)
    renderer = Renderer(RenderConfig(styles=only("target_language"), forward_share=1.0, seed=seed))
    assert_even([renderer.draw(pair).frame.template for pair in numbered(5_000)], 5)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.75])
def test_directions_come_in_their_shares(share: float) -> None:
    renderer = Renderer(RenderConfig(styles=only("english"), forward_share=share))
    counts = Counter(renderer.draw(pair).direction for pair in numbered(10_000))
    assert chi_square([counts["forward"], counts["backward"]], [share, 1 - share]) < CRITICAL[1]


def test_styles_come_in_their_shares() -> None:
    weights = StyleWeights(english=3, source_language=2, target_language=1, concatenation=4)
    renderer = Renderer(RenderConfig(styles=weights))
    counts = Counter(renderer.draw(pair).style for pair in numbered(10_000))
    shares = {"english": 0.3, "source_language": 0.2, "target_language": 0.1, "concatenation": 0.4}
    assert chi_square([counts[style] for style in shares], list(shares.values())) < CRITICAL[3]  # type: ignore[index]


def test_one_direction_leaves_no_other_save_in_concatenations() -> None:
    for share, expected in ((1.0, "forward"), (0.0, "backward")):
        renderer = Renderer(RenderConfig(styles=only("english", target_language=1.0), forward_share=share))
        assert {renderer.draw(pair).direction for pair in numbered(500)} == {expected}
    renderer = Renderer(RenderConfig(styles=only("concatenation"), forward_share=1.0))
    assert_even([renderer.draw(pair).direction for pair in numbered(5_000)], 2)


def test_a_concatenation_is_both_texts_and_the_separator() -> None:
    config = RenderConfig(styles=only("concatenation"), concatenation_separator=" ")
    for pair in numbered(20):
        document = Renderer(config).render(pair)
        texts = [pair.src_text, pair.tgt_text]
        assert document.text == " ".join(texts if document.pairs[0].direction == "forward" else texts[::-1])
        assert document.pairs[0].template is None


def test_templates_are_in_the_language_of_the_style() -> None:
    for style, languages in (("source_language", ("en", "el")), ("target_language", ("el", "en"))):
        renderer = Renderer(RenderConfig(styles=only(style)))
        for pair in numbered(100):
            telling = renderer.draw(pair)
            assert telling.frame.template is not None
            assert telling.frame.template.startswith(languages[telling.direction == "backward"])


def test_a_style_without_templates_leaves_its_share_to_the_others() -> None:
    """There are no templates in Malagasy: of weights 1, 1, 1, 1 three are left, and told to Malagasy or from it."""
    assert "mg" not in LIBRARY.languages
    weights = StyleWeights(english=1, source_language=1, target_language=1, concatenation=1)
    renderer = Renderer(RenderConfig(styles=weights, forward_share=1.0))
    counts = Counter(renderer.draw(pair).style for pair in numbered(6_000, "el", "mg"))
    assert set(counts) == {"english", "source_language", "concatenation"}
    assert chi_square(list(counts.values()), [1 / 3] * 3) < CRITICAL[2]


def test_a_pair_that_no_style_can_tell_is_an_error() -> None:
    config = RenderConfig(styles=only("source_language"))
    with pytest.raises(UserError, match="no template tells mg to el in the styles with a weight \\(source_language\\)"):
        Renderer(config).render(TextPair("1", "el", "mg", "a", "b"))
    forward = config.model_copy(update={"forward_share": 1.0})
    assert Renderer(forward).render(TextPair("1", "el", "mg", "a", "b")).pairs[0].direction == "forward"


def test_what_is_drawn_depends_on_languages_texts_and_seed_alone() -> None:
    pairs = numbered(400)
    first = [Renderer(RenderConfig()).draw(pair) for pair in pairs]
    renamed = [TextPair(f"x{pair.id}", "en", "el", pair.src_text, pair.tgt_text, "document", 7) for pair in pairs]
    renderer = Renderer(RenderConfig())
    assert [renderer.draw(pair) for pair in reversed(renamed)] == first[::-1]
    assert [Renderer(RenderConfig(seed=2)).draw(pair) for pair in pairs] != first


@given(TEXTS, TEXTS, TEXTS)
def test_texts_that_run_together_are_different_pairs(first: str, second: str, third: str) -> None:
    one = TextPair("", "en", "el", first + second, third)
    other = TextPair("", "en", "el", first, second + third)
    assert (content_hash(one, 1) == content_hash(other, 1)) == (second == "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"styles": {"englsh": 1}}, "unknown key 'englsh' in styles - did you mean 'english'"),
        ({"styles": dict.fromkeys(StyleWeights.model_fields, 0)}, "every weight is 0"),
        ({"styles": {"english": -1}}, "styles.english"),
        ({"styles": {"english": float("inf")}}, "styles.english"),
        ({"forward_share": 1.5}, "forward_share"),
        ({"max_chars": 0}, "max_chars"),
        ({"seed": -1}, "seed"),
        ({"max_char": 10}, "did you mean 'max_chars'"),
    ],
)
def test_a_configuration_that_breaks_a_rule_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_config(data, RenderConfig, "made up")
