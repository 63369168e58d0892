"""RegMix's regression on the trials of a sweep, in an environment that has LightGBM: JSON from input to output.

Two regressors on one target: LightGBM with the settings of RegMix's published notebook (1,000 rounds at a rate of 0.01,
early stopping on a part of the trials), and least squares. LightGBM asks for 20 trials in a leaf by default, which few
trials do not have: it is fitted with smaller leaves, too, and all of them are told. Mixtures are then drawn from the
prior, and the 100 that are predicted best are averaged (Q. Liu et al., arXiv 2407.01492, sections 3.1 and 3.3).
"""

from __future__ import annotations

import json
import sys
from typing import Protocol

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

DRAWS, BEST = 100_000, 100
Table = NDArray[np.float64]


class Regressor(Protocol):
    """A fitted one of either library."""

    def predict(self, rows: Table) -> Table:
        """Return a number for each row."""


def main() -> None:
    """Read shares and targets of the trials, and shares of others; write predictions and mixtures."""
    told = json.load(sys.stdin)
    shares, target, others = (np.array(told[name]) for name in ("shares", "target", "others"))
    draws = np.random.default_rng(1).dirichlet(np.ones(shares.shape[1]), DRAWS)
    found = {}
    for name, model in _models(shares, target).items():
        best = np.argsort(model.predict(draws))[:BEST]
        found[name] = {"shares": draws[best].mean(axis=0).tolist(), "predicted": model.predict(others).tolist()}
    json.dump({"found": found, "versions": {"lightgbm": lightgbm.__version__, "numpy": np.__version__}}, sys.stdout)


def _models(shares: Table, target: Table) -> dict[str, Regressor]:
    found: dict[str, Regressor] = {"linear": LinearRegression().fit(shares, target)}
    held = max(2, len(target) // 5)
    for leaf in (20, 5, 3, 2, 1):
        model = lightgbm.LGBMRegressor(
            n_estimators=1000, learning_rate=0.01, random_state=42, min_child_samples=leaf, n_jobs=1, verbosity=-1
        )
        model.fit(
            shares[held:],
            target[held:],
            eval_set=[(shares[:held], target[:held])],
            callbacks=[lightgbm.early_stopping(stopping_rounds=3, verbose=False)],
        )
        found[f"LightGBM, leaves of {leaf}"] = model
    return found


if __name__ == "__main__":
    main()
