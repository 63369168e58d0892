"""Losses of mixtures of three Markov languages, of which the best mixture is known.

Two contradict each other after half of the symbols; the third says what one of them says after a quarter of the
symbols, what the other says after another, and all agree on the rest. Who cannot tell them apart learns the mixture
q = sum_i w_i P_i of what they say. A cross entropy is smallest at the truth, so the mean of their losses -E_i log2 q
with weights v is smallest at the shares w = v.
"""

import numpy as np

from pretrain.sweep.analysis.features import Array, Features, ShareBlock

SYMBOLS = 24
FEATURES = Features((ShareBlock(("only",), ("left", "right", "helper"), 1.0),))
WEIGHTS = ((0.35, 0.25, 0.40), (1 / 3, 1 / 3, 1 / 3), (0.5, 0.3, 0.2), (0.2, 0.6, 0.2), (0.15, 0.15, 0.7))


def tables(seed: int) -> Array:
    """Return P(next | symbol) of each language: 3 x SYMBOLS x SYMBOLS."""
    draws = np.random.default_rng([seed, 7])
    one, other, shared = 0.99 * draws.dirichlet(np.full(SYMBOLS, 0.3), (3, SYMBOLS)) + 0.01 / SYMBOLS
    quarter = np.arange(SYMBOLS)[:, None] * 4 // SYMBOLS
    left, right = np.where(quarter < 2, one, shared), np.where(quarter < 2, other, shared)
    return np.stack([left, right, np.where(quarter < 1, left, right)])


def losses(languages: Array, shares: Array) -> Array:
    """Return the bits per symbol of each language, n x 3, of whoever learnt mixtures of these shares, n x 3."""
    learnt = np.einsum("ni,ixy->nxy", shares, languages)
    return np.asarray(-np.einsum("ixy,nxy->ni", languages, np.log2(learnt)) / SYMBOLS)


def mixtures(count: int, seed: int) -> Array:
    """Return the even mixture and Dirichlet draws around it, as a sweep has them."""
    draws = np.random.default_rng([seed, 11])
    strengths = np.exp(draws.uniform(np.log(0.5), np.log(4), count - 1))
    return np.vstack([np.full(3, 1 / 3), *(draws.dirichlet([own] * 3) for own in strengths)])


def grid(within: Array) -> Array:
    """Return all mixtures of whole percents that have no share beyond those of some others."""
    found = np.array([(one, two, 100 - one - two) for one in range(101) for two in range(101 - one)]) / 100
    return np.asarray(found[((found >= within.min(axis=0)) & (found <= within.max(axis=0))).all(axis=1)])
