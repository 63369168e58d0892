"""What the repetition measures mean, computed naively on lists of words."""

from collections import Counter


def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def characters(words: list[str] | tuple[str, ...]) -> int:
    return sum(map(len, words))


def naive_duplicate_share(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for start, ngram in enumerate(ngrams(words, n)):
        if ngram in seen:
            covered |= set(range(start, start + n))
        seen.add(ngram)
    return characters([words[position] for position in covered]) / characters(words) if words else 0.0


def naive_top_share(words: list[str], n: int) -> float:
    counts = Counter(ngrams(words, n))
    most = max(counts.values(), default=0)
    if most < 2:
        return 0.0
    longest = max(characters(ngram) for ngram, count in counts.items() if count == most)
    return min(1.0, most * longest / characters(words))
