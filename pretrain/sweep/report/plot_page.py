"""Pictures of a report: Matplotlib's figures as inline SVG, in the colours of the page and with words at the marks."""

from __future__ import annotations

import functools
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, Self, TypeVar
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from curation.report import visible

# The page's colours (curation/style.css.j2): where a figure has one, the page has its variable, which is another in
# the dark and on paper.
INK, SOFT, LINE, CARD, BETTER, WORSE = "#1c2327", "#56626a", "#d8dee1", "#ffffff", "#2b6a97", "#ad5518"
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", CARD: "card", BETTER: "kept", WORSE: "dropped"}
# From better to worse; seen on white and on black.
_COLOURS = LinearSegmentedColormap.from_list("objective", ("#2f7fc1", "#9aa5ab", "#d9702b"), N=25)
_UNITS_PER_INCH = 72
# Attributes that name another element.
_LINKS = ("href", "clip-path")
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def drawn(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Draw with the style of these pictures, whatever the process has set."""

    @functools.wraps(function)
    def draw(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        with mpl.rc_context(), warnings.catch_warnings():
            _set_style()
            # The page's fonts draw the letters; Matplotlib's own, which lacks some, only measures them.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            return function(*args, **kwargs)

    return draw


class Picture:
    """A figure that becomes a part of a page; the same drawing gives the same bytes.

    Attributes:
        figure: to draw on; 72 of its units are an inch, and a pixel of the page each.
    """

    def __init__(self, name: str, width: float, height: float) -> None:
        """Prepare an empty figure.

        Args:
            name: of the picture, its own in the page: letters.
            width: in pixels.
            height: in pixels.
        """
        self.figure = Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH), layout="constrained")
        self._name, self._width = name, width
        self._titles: dict[str, str] = {}

    def words(self, text: str) -> str:
        """Return the `gid` of a mark that says this text where the pointer rests on it."""
        gid = f"mark-{len(self._titles)}"
        self._titles[gid] = visible(text, 600)
        return gid

    def svg(self, label: str) -> Markup:
        """Return the figure as SVG for a page.

        Args:
            label: what is seen, for those who do not see it.
        """
        file = io.StringIO()
        self.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        root = ElementTree.fromstring(file.getvalue())
        self._rename(root)
        for attribute in ("width", "height", "version"):
            del root.attrib[attribute]
        style = f"max-width: {self._width:.0f}px; min-width: {0.74 * self._width:.0f}px; stroke-linejoin: round"
        root.attrib |= {"class": "plot", "role": "img", "aria-label": visible(label, 600), "style": style}
        return Markup(ElementTree.tostring(root, encoding="unicode"))

    def _rename(self, root: ElementTree.Element) -> None:
        """Make of Matplotlib's SVG a part of a page: plain names, ids that no other picture has, the page's colours."""
        for node in [*root.iter()]:
            node.tag = _local(node.tag)
            for child in [own for own in node if _is_of_the_file(own)]:
                node.remove(child)
            for name, value in [*node.attrib.items()]:
                del node.attrib[name]
                node.attrib[_local(name)] = _own_style(value) if name == "style" else value
        links = [value for node in root.iter() for name, value in node.attrib.items() if name in _LINKS]
        used = dict.fromkeys(re.findall(r"#(\w+)", " ".join(links)))
        ids = {old: f"{self._name}-{number}" for number, old in enumerate(used)}
        for node in root.iter():
            gid = node.attrib.pop("id", "")
            if gid in ids:
                node.attrib["id"] = ids[gid]
            if gid in self._titles:
                title = ElementTree.Element("title")
                title.text = self._titles[gid]
                node.insert(0, title)
            for name in _LINKS:
                if name in node.attrib:
                    node.attrib[name] = re.sub(r"#(\w+)", lambda found: f"#{ids[found[1]]}", node.attrib[name])


class ObjectiveScale(NamedTuple):
    """Colours of objectives, from the best to one of the worst, so that a few bad ones do not make all others alike.

    Attributes:
        low: the best.
        high: what has the last colour, and all above it.
        clipped: whether some are above it.
    """

    low: float
    high: float
    clipped: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the scale of these objectives, one at least."""
        low, most = min(values), max(values)
        high = worth_showing(values)
        return cls(low, high if high > low else low + 1e-9, high < most)

    def colour(self, value: float) -> str:
        """Return a colour as hexadecimal digits."""
        return to_hex(_COLOURS((value - self.low) / (self.high - self.low)))

    def draw_bar(self, figure: Figure, axes: Axes) -> None:
        """Draw the scale below a plot; there is none of a single number."""
        if self.high - self.low < 1e-6:
            return
        bar = figure.colorbar(
            ScalarMappable(Normalize(self.low, self.high), _COLOURS),
            ax=axes,
            orientation="horizontal",
            extend="max" if self.clipped else "neither",
            ticks=MaxNLocator(4),
            format=Percent(),
            shrink=260 / (_UNITS_PER_INCH * figure.get_figwidth()),
            aspect=28,
            pad=0.02,
            label="objective, less is better",
        )
        bar.outline.set_visible(False)


class Percent(PercentFormatter):
    """Parts of 1 at an axis, in per cent."""

    def __init__(self) -> None:
        """Prepare."""
        super().__init__(xmax=1)

    def format_pct(self, x: float, display_range: float) -> str:
        """Return a number with as many digits as its axis needs."""
        return super().format_pct(x, display_range).replace("-", "\u2212")


def short(name: str, limit: int) -> str:
    """Return a name for a place where there is little room, in one line."""
    line = " ".join(name[: 4 * limit].split())
    return visible(line if len(line) <= limit else line[: limit - 1] + "…", limit)


def _set_style() -> None:
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "svg.hashsalt": "sweep",
            "svg.fonttype": "none",
            "text.parse_math": False,  # a name is no formula
            "font.size": 11.5,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": SOFT,
            "axes.edgecolor": SOFT,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "grid.color": LINE,
            "grid.linewidth": 0.8,
        }
    )


def worth_showing(values: Sequence[float]) -> float:
    """Return the largest of some numbers, or one below it where a few are so large that all others look alike."""
    low, high, most = min(values), float(np.quantile(values, 0.9)), max(values)
    return most if most - low <= 1.5 * (high - low) else high


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _is_of_the_file(node: ElementTree.Element) -> bool:
    """Whether this is of use in a file of its own only: it would be the style of the whole page."""
    return _local(node.tag) == "metadata" or any(_local(own.tag) == "style" for own in node)


def _own_style(style: str) -> str:
    kept = [part for part in style.split("; ") if not part.startswith("font-family")]
    return re.sub(r"#[0-9a-f]{6}\b", _own_colour, "; ".join(kept))


def _own_colour(found: re.Match[str]) -> str:
    variable = _VARIABLES.get(found[0])
    return f"var(--{variable})" if variable else found[0]
