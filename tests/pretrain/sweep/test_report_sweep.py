"""The report of a sweep: of many trials and of none, of hostile names, of a real analysis; its numbers and drawings."""

from __future__ import annotations

import re
import time
import warnings
from fractions import Fraction
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.charts import share
from pretrain.sweep.analysis.analysis import analyse
from pretrain.sweep.analysis.analysis_schema import Interval
from pretrain.sweep.analysis.features import ShareBlock
from pretrain.sweep.design.design import features_of
from pretrain.sweep.report.plot_page import ObjectiveScale, worth_showing
from pretrain.sweep.report.plot_ternary import corners_within
from pretrain.sweep.report.report_facts import signed
from pretrain.sweep.report.report_sweep import render_sweep
from pretrain.sweep.report.report_trials import MAX_ROWS, chance_bound
from tests.pretrain.sweep.fake_sweeps import CASES, HOSTILE, LANGUAGES, WEB3, FakeSweep, fake_sweep
from tests.pretrain.sweep.known_sweeps import bowl, known_sweep, sweep_config

EMPTY_TAGS = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: tags in order, ids, links, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.events: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def _take(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "action") or "url(" in (value or ""):
                self.links += re.findall(r"url\((.*?)\)", value or "") or [value or ""]
            elif name.startswith("on"):
                self.events.append(name)


def rendered(fake: FakeSweep) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fake.render()


def plots(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(own) for own in re.findall(r'<svg [^>]*class="plot".*?</svg>', page, re.DOTALL)]


def titles(plot: ElementTree.Element) -> list[str]:
    return [own.text or "" for own in plot.iter("title")]


def row_numbers(page: str) -> list[int]:
    return [int(own) for own in re.findall(r'<th scope="row" class="n pin">(\d+)</th>', page)]


@pytest.mark.parametrize("name", [*CASES])
def test_a_page_is_whole_and_needs_nothing_else(name: str) -> None:
    text = rendered(CASES[name]())
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(own == "data:," or own.removeprefix("#") in page.ids for own in page.links)
    assert not page.tags & {"script", "iframe", "object", "form", "img", "image", "foreignobject"}
    assert page.events == []
    assert "default-src 'none'" in text
    for plot in plots(text):
        assert "style" not in {own.tag for own in plot.iter()}  # it would be the style of the whole page
        assert plot.attrib["aria-label"]


def test_the_same_sweep_gives_the_same_bytes_in_whatever_order() -> None:
    fake = CASES["small"]()
    turned = fake._replace(trials=fake.trials[::-1], outcomes=fake.outcomes[::-1])
    assert rendered(fake) == rendered(CASES["small"]()) == rendered(turned)


def test_the_recommendation_is_said_in_words_and_numbers() -> None:
    fake = CASES["small"]()
    found = fake.analysis.recommendation
    assert found is not None
    words = " ".join(Page(rendered(fake)).words.split())
    parts = [
        f"{share(own.value, 1)} {name} ({share(own.low, 1)} to {share(own.high, 1)})"
        for name, own in found.shares["main"].items()
    ]
    assert f"Train on {', '.join(parts)}." in words
    for text in (
        signed(found.objective.value),
        "In 97% of the bootstrap samples",
        "a rank correlation of 0.93",
        *found.bounds,
        *found.beyond,
        *fake.analysis.notes,
        *fake.commands,
    ):
        assert text in words
    base = next(own.last for own in fake.outcomes if own.trial == fake.trials[0].id)
    for language, loss in found.losses.items():
        assert f"{base[language]:.4f}" in words
        assert signed(loss.value / base[language] - 1) in words


def test_a_weak_prediction_is_called_one() -> None:
    fake = CASES["small"]()
    found = fake.analysis.recommendation
    assert found is not None
    fits = tuple(own.model_copy(update={"rank_correlation": 0.2}) for own in fake.analysis.fits)
    weak = fake.analysis.model_copy(
        update={"fits": fits, "recommendation": found.model_copy(update={"better_than_base": 0.55})}
    )
    words = Page(rendered(fake._replace(analysis=weak))).words
    assert "take this as a guess" in words
    assert "it may be no better at all" in words
    assert "orders mixtures well" not in words


def test_categories_that_do_not_vary_are_named_as_the_rest() -> None:
    fake = fake_sweep(12, [ShareBlock(("main",), WEB3, 0.8)], LANGUAGES[:4])
    assert "; the other 20% as in the base mixture." in " ".join(Page(rendered(fake)).words.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "none of 12 trials finished"),
        ("failed", "none of 24 trials finished"),
        ("one", "1 of 12 trials finished. The notes say why."),
    ],
)
def test_without_a_recommendation_the_page_says_why(name: str, said: str) -> None:
    fake = CASES[name]()
    page = rendered(fake)
    assert said in Page(page).words
    assert "Train on" not in page
    assert 'aria-label="Parallel' not in page
    assert all(own.cause in Page(page).words for own in fake.analysis.left_out)


def test_trials_of_one_cause_stand_in_one_line() -> None:
    page = rendered(CASES["failed"]())
    causes = page[page.index('<ul class="causes">') :]
    assert causes[: causes.index("</ul>")].count("<li>") == 1
    assert "24 trials, 0, 1, 2" in Page(page).words


def test_names_are_no_markup_and_no_formulas() -> None:
    text = rendered(CASES["hostile"]())
    for forbidden in ("<script", "<img", "<b>one", "\x1b", "\u202e"):
        assert forbidden not in text
    drawn = ["".join(own.itertext()) for own in plots(text)]
    assert any(HOSTILE[1] in own for own in drawn)  # dollars and all: a name is no formula
    assert any("網頁中文" in own for own in drawn)


def test_many_trials_are_drawn_and_listed_in_part() -> None:
    fake = fake_sweep(420, [ShareBlock(("main",), tuple("abcd"), 1.0)], LANGUAGES[:3])
    begin = time.process_time()
    text = rendered(fake)
    assert time.process_time() - begin < 8
    assert row_numbers(text) == [*range(MAX_ROWS)]
    parallel = next(own for own in plots(text) if own.attrib["aria-label"].startswith("Parallel"))
    lines = [own for own in titles(parallel) if own.startswith("trial")]
    assert 290 <= len(lines) <= 303
    best = min(fake.analysis.measured, key=lambda own: own.adaptation)
    assert any(own.startswith(f"trial {best.number} ") for own in lines)
    assert "300 of 420 are drawn" in Page(text).words


def test_a_point_says_its_trial() -> None:
    fake = CASES["small"]()
    triangle = next(own for own in plots(rendered(fake)) if own.attrib["aria-label"].startswith("Triangle"))
    said = " ".join(titles(triangle))
    for trial in (own for own in fake.trials if own.kind in ("base", "design")):
        web = share(float(trial.point.shares["main"]["web"]), 1)
        assert f"trial {trial.number} · web {web} · " in said


def test_shares_against_losses_are_rank_correlations() -> None:
    """Of losses that follow one share alone: what a share does is −1 or +1 of it, whatever the scale."""
    fake = fake_sweep(20, [ShareBlock(("main",), ("web", "news"), 1.0)], ("el", "en"), forgetting=1, advice=False)
    shares = {own.id: float(own.point.shares["main"]["web"]) for own in fake.trials}
    outcomes = [
        own.model_copy(update={"last": {"el": 2 - shares[own.trial] ** 3, "en": 1 + shares[own.trial]}})
        for own in fake.outcomes
    ]
    page = rendered(fake._replace(outcomes=outcomes))
    heat = page[page.index('<table class="heat') :]
    cells = re.findall(r"<td style=\"background: rgb\(var\(--(less|more)\) / 60%\)\"><b>(.1\.00)</b>", heat)
    assert cells[-4:] == [("less", "−1.00"), ("more", "+1.00"), ("more", "+1.00"), ("less", "−1.00")]


def test_random_orders_stay_below_the_bound() -> None:
    random = np.random.default_rng(1)
    for trials in (8, 20, 60):
        found = np.array(
            [np.corrcoef(random.permutation(trials), np.arange(trials))[0, 1] for _ in range(4000)], dtype=np.float64
        )
        assert np.mean(np.abs(found) <= chance_bound(trials)) == pytest.approx(0.95, abs=0.012)


shares_of_three = st.tuples(*[st.integers(0, 100)] * 3).filter(lambda own: sum(own) > 0)


@settings(max_examples=60, deadline=None)
@given(shares_of_three, st.tuples(*[st.integers(1, 40)] * 3), st.sampled_from((1.0, 0.4)), shares_of_three)
def test_the_outline_of_ranges_holds_what_is_in_all_of_them(
    middle: tuple[int, ...], widths: tuple[int, ...], total: float, other: tuple[int, ...]
) -> None:
    block = ShareBlock(("main",), WEB3, total)
    centre = total * np.array(middle) / sum(middle)
    ranges = {
        name: Interval(value=own, low=max(0.0, own - width / 100), high=own + width / 100)
        for name, own, width in zip(WEB3, centre.tolist(), widths, strict=True)
    }
    corners = corners_within(block, ranges) * total
    assert corners.sum(axis=1) == pytest.approx(np.full(len(corners), total))
    low, high = (np.array([getattr(ranges[name], side) for name in WEB3]) for side in ("low", "high"))
    assert np.all(corners >= low - 1e-9)
    assert np.all(corners <= high + 1e-9)
    # A polygon holds a point where it lies on the same side of all edges.
    for point in (centre, total * np.array(other) / sum(other)):
        sides = [
            float(np.linalg.det(np.stack([own, following, point])))
            for own, following in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ]
        inside = bool(np.all(point >= low + 1e-9) and np.all(point <= high - 1e-9))
        if inside:
            assert min(sides) > -1e-9 or max(sides) < 1e-9


def test_a_few_bad_trials_do_not_take_all_colours() -> None:
    good = [-0.1 + place / 1000 for place in range(40)]
    assert worth_showing(good) == max(good)
    scale = ObjectiveScale.of([*good, 5.0])
    assert scale.clipped
    assert scale.high < 0
    assert scale.colour(5.0) == scale.colour(scale.high + 1)
    assert len({scale.colour(own) for own in good}) > 15


def test_what_a_real_analysis_finds_is_shown() -> None:
    losses = bowl(0.45, 0.25)
    config = sweep_config(design={"shares": {"method": "dirichlet", "trials": 10}})
    sweep = known_sweep(losses, config, noise=0.001)
    found = analyse(config, sweep.mixture, sweep.run, sweep.trials, sweep.outcomes, None, lambda point: None)
    assert found.recommendation is not None
    features = features_of(config, sweep.mixture)
    page = render_sweep(config, sweep.trials, sweep.outcomes, found, features)
    words = " ".join(Page(page).words.split())
    greek = found.recommendation.shares["only"]["Greek"]
    assert f"{share(greek.value, 1)} Greek" in words
    assert sum(float(own) for own in found.recommendation.point.shares["only"].values()) == Fraction(1)
    kinds = [own.attrib["aria-label"].split()[0] for own in plots(page)]
    assert kinds == ["Triangle", "Parallel", "Adaptation", "Measured"]
