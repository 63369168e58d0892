"""Texts that hypothesis makes up, the ugly ones included."""

from hypothesis import strategies as st

# Every code point, lone surrogates among them.
_ANY = st.text(st.characters(exclude_categories=()))
# Pieces that the measures look for, in few kinds, so that lines, words and n-grams repeat.
_PIECES = [
    "the ",
    "cat ",
    "Cat. ",
    "αβγ ",
    "我",
    "。",
    "हिन्दी ",
    "ไทย",
    "\n",
    "\n\n",
    "- ",
    "…",
    "...",
    "42",
    "№",
    "\x00",
]
_PIECES += ["\ud800", "\ufffd", "Ã©", "Â\x80", "â€\ufffd", "ï¿½", "\u0301", "\u200d", "'", "!", "\t", "\r\n", "\u2028"]
_ASSEMBLED = st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)

ANY_TEXT = st.one_of(_ANY, _ASSEMBLED)
# Long texts of a few words, and short ones that hold little but one word over and over.
WORDS = st.one_of(
    st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "ee"]), max_size=40),
    st.lists(st.sampled_from(["a", "a", "a", "bb"]), max_size=8),
)
