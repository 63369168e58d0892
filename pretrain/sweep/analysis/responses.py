"""The responses that a sweep is read with, from the simplest on."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn.ensemble import GradientBoostingRegressor

from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.analysis.gaussian_process import GaussianProcess
from pretrain.sweep.analysis.mixing_law import Exponential
from pretrain.sweep.analysis.polynomials import Linear, Quadratic
from pretrain.sweep.analysis.predictors import Predictor, Response, fit_by_content

__all__ = ["Boosted", "Predictor", "Response", "responses"]

_FEWEST_FOR_TREES = 10


@dataclass(frozen=True, slots=True)
class Boosted:
    """Gradient-boosted trees (J. Friedman 2001), as RegMix's LightGBM (arXiv 2407.01492, section 3.2).

    100 trees of at most three levels, each shrunk by 0.1, with at least two trials in a leaf. RegMix fits hundreds of
    trials and splits by histograms with 20 in a leaf, of which a sweep of some dozens has too few: here every value is
    a possible split (scikit-learn's GradientBoostingRegressor). Trees do not extrapolate, and are flat between trials.
    """

    features: Features
    name: str = "boosted"

    def min_trials(self, width: int) -> int:
        """Return five leaves of two trials, and one for each number to split by where those are more."""
        return max(_FEWEST_FOR_TREES, width)

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; the seed decides between splits that are equally good. See `Response.fit`."""

        def fit(rows: Array, losses: Array) -> Predictor:
            trees = GradientBoostingRegressor(
                n_estimators=100, learning_rate=0.1, max_depth=3, min_samples_leaf=2, random_state=seed
            )
            fitted: Predictor = trees.fit(rows, losses)
            return fitted

        return fit_by_content(rows, losses, fit)


def responses(features: Features) -> tuple[Response, ...]:
    """Return all responses; of two that predict equally well, the first is the simpler one."""
    return (
        Linear(features),
        Quadratic(features),
        Exponential(features),
        GaussianProcess(features),
        Boosted(features),
    )
