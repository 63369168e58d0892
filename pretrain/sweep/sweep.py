"""The job of a sweep: read it first.

    base mixture + axes -> design.py -> points -> trial_files.py -> a mixture and a run for each trial
                                                 launch.py       -> runs on Ray, their outcomes
                                                 analysis.py     -> what they say, and the recommended mixture
                                                 the recommended mixture's own trial, report_sweep.py

A sweep lives in `sweeps/<name>/`. Started again, it goes on: a trial that ended for good is not repeated while its
mixture, its run and the bytes of its tokens are what they were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from configs.errors import UserError
from curation.charts import duration
from curation.job_folder import locked_output
from curation.store import write_text_atomically
from pretrain.run.flops import counted_parameters
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions, open_plan
from pretrain.sweep.analysis.analysis import add_confirmation, analyse
from pretrain.sweep.analysis.analysis_schema import Analysis
from pretrain.sweep.design.design import features_of
from pretrain.sweep.launch.launch import Comparison, Progress, run_trials, stopping_rule
from pretrain.sweep.launch.trial_process import TrialSpec
from pretrain.sweep.launch.trial_rows import read_evaluations
from pretrain.sweep.plan import MIXTURES, RUNS, SCRATCH, TRIALS, PlannedTrial, SweepPlan, confirmation_trial, open_sweep
from pretrain.sweep.report.report_sweep import render_sweep
from pretrain.sweep.results import (
    REPORT,
    forget_recommended,
    forget_results,
    forget_trial,
    read_outcome,
    recommendation_lines,
    write_analysis,
    write_outcome,
    write_recommended,
    write_table,
)
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import FINAL, Outcome, Trial
from pretrain.sweep.trial_files import Standing, mixture_problem, place_mixture, target_mixture, write_yaml

PLAN = "plan.json"


class NothingFinishedError(RuntimeError):
    """No trial of the design finished: there is nothing to analyse."""


def run_sweep(config: SweepConfig, out: Path, say: Callable[[str], None], progress: Progress | None = None) -> Analysis:
    """Run what is left of a sweep's trials, and write what they say.

    Args:
        config: of the sweep.
        out: folder of sweeps.
        say: takes a line for the terminal.
        progress: told how many trials run, have ended, and there are.

    Raises:
        UserError: something is missing, or does not fit.
        NothingFinishedError: no trial finished; the table of trials has the causes.
    """
    with locked_output(out.expanduser().absolute() / config.name):
        return Sweep(open_sweep(config, out), say, progress).run()


class Sweep:
    """A sweep while its folder is held."""

    def __init__(self, plan: SweepPlan, say: Callable[[str], None], progress: Progress | None = None) -> None:
        """Prepare; nothing is written yet."""
        self._plan, self._say, self._progress = plan, say, progress
        self._outcomes: dict[str, Outcome] = {}

    def run(self) -> Analysis:
        """Run all of it; see `run_sweep`."""
        plan = self._plan
        text = json.dumps(self._facts(), ensure_ascii=False, indent=1)
        write_text_atomically(plan.folder / PLAN, text)
        self._train(plan.trials)
        analysis = self._analyse(plan.trials)
        if not analysis.measured:
            self._write(plan.trials, analysis)
            raise NothingFinishedError(self._why_nothing())
        trials, analysis = self._confirm(analysis)
        self._write(trials, analysis)
        return analysis

    def _train(self, trials: Sequence[PlannedTrial]) -> None:
        """Run those of some trials that have not ended for good; equal ones are one run."""
        own = list({planned.trial.id: planned for planned in reversed(trials)}.values())[::-1]
        waiting = [planned for planned in own if self._prepare(planned)]
        self._check_runs(own)
        if waiting:
            forget_results(self._plan)
        done = len(own) - len(waiting)
        tokens = sum(planned.tokens for planned in waiting)
        told = Counter(self._outcomes[planned.trial.id].status for planned in own if planned not in waiting)
        ended = done - told["infeasible"]
        before = f"; {ended} of them ended before" if ended else ""
        before += f"; {told['infeasible']} of them cannot be made of the tokens" if told["infeasible"] else ""
        self._say(f"{plan_words(own)}{before}; {tokens:,} tokens to train on")
        numbers = {planned.trial.id: planned.trial.number for planned in own}

        def take(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            self._outcomes[outcome.trial] = outcome
            write_outcome(self._plan.folder, outcome)
            cause = f": {outcome.cause}" if outcome.cause else ""
            told = f"trial {numbers[outcome.trial]} {outcome.status.replace('_', ' ')}{cause}"
            self._say(f"{told}, {duration(outcome.seconds)} ({done} of {len(own)})")

        # The rule of early stopping compares with the same proxy, and would leave a check without its answer.
        for kinds, comparison in ((("base", "design"), self._comparison()), (("scaling", "confirmation"), None)):
            specs = [self._spec(planned.trial) for planned in waiting if planned.trial.kind in kinds]
            if specs:
                run_trials(specs, self._plan.config.launch, take, comparison, self._progress)

    def _prepare(self, planned: PlannedTrial) -> bool:
        """Put a trial's files in place; return whether it has to run."""
        plan, name = self._plan, planned.trial.id

        def make_way(standing: Standing) -> None:
            # A checkpoint goes on with the manifest that it was made with, which says where the tokens are.
            if standing == "other" or not self._has_ended(name):
                forget_trial(plan.folder, name)

        try:
            place_mixture(planned.mixture, plan.base.tokens, plan.folder / MIXTURES, make_way)
        except UserError as error:
            self._outcomes[name] = Outcome(trial=name, status="infeasible", cause=str(error), attempts=0)
            write_outcome(plan.folder, self._outcomes[name])
            return False
        write_yaml(plan.folder / TRIALS / name / "mixture.yaml", planned.mixture)
        write_yaml(plan.folder / TRIALS / name / "run.yaml", planned.run)
        earlier = read_outcome(plan.folder, name)
        if earlier is None or not self._is_final(earlier):
            return True
        self._outcomes[name] = earlier
        return False

    def _has_ended(self, name: str) -> bool:
        earlier = read_outcome(self._plan.folder, name)
        return earlier is not None and self._is_final(earlier)

    def _is_final(self, outcome: Outcome) -> bool:
        """Return whether a trial that ended once stays as it is: one that a rule stopped does if it still would."""
        if outcome.status != "stopped":
            return outcome.status in FINAL
        comparison = self._comparison()
        rule = None if comparison is None else stopping_rule(comparison)
        rows = read_evaluations(self._plan.folder / RUNS / outcome.trial)
        return rule is not None and rule.stops_at(rows) is not None

    def _check_runs(self, trials: Sequence[PlannedTrial]) -> None:
        """Find the user's mistakes before a trial starts: a model that is not there, or has too few tokens."""
        seen: set[str] = set()
        for planned in trials:
            kind = planned.trial.kind
            outcome = self._outcomes.get(planned.trial.id)
            if kind not in seen and (outcome is None or outcome.status != "infeasible"):
                seen.add(kind)
                open_plan(planned.run, RunOptions(runs=self._plan.folder / RUNS))

    def _spec(self, trial: Trial) -> TrialSpec:
        folder = self._plan.folder
        return TrialSpec(trial.id, folder / TRIALS / trial.id, folder / RUNS)

    def _comparison(self) -> Comparison | None:
        plan = self._plan
        rule = plan.config.early_stopping
        if rule is None:
            return None
        base = plan.folder / RUNS / plan.trials[0].trial.id
        return Comparison(
            rule, base, plan.trials[0].tokens, plan.config.objective.weights, plan.base.run.evaluation.forgetting
        )

    def _analyse(self, trials: Sequence[PlannedTrial]) -> Analysis:
        plan, folder = self._plan, self._plan.folder
        return analyse(
            plan.config,
            plan.base.mixture,
            plan.base.run,
            *self._ended(trials),
            self._weights(),
            lambda point: mixture_problem(target_mixture(plan.base, point), plan.base.tokens, folder / SCRATCH),
        )

    def _ended(self, trials: Sequence[PlannedTrial]) -> tuple[list[Trial], list[Outcome]]:
        told = [planned.trial for planned in trials]
        return told, [self._outcomes[trial.id] for trial in told if trial.id in self._outcomes]

    def _weights(self) -> tuple[int, int] | None:
        """Return the parameters of the two proxies, where there are two."""
        larger = next((own for own in self._plan.trials if own.trial.kind == "scaling"), None)
        if larger is None:
            return None
        return _parameters(self._plan.trials[0].run), _parameters(larger.run)

    def _confirm(self, analysis: Analysis) -> tuple[tuple[PlannedTrial, ...], Analysis]:
        """Train the recommended mixture, too, and compare it with what was predicted."""
        plan, found = self._plan, analysis.recommendation
        if found is None or not plan.config.analysis.confirm:
            return plan.trials, analysis
        self._say("recommended: " + "; ".join(recommendation_lines(found)))
        planned = confirmation_trial(plan, found.point)
        self._train([planned])
        trials = (*plan.trials, planned)
        told, ended = self._ended(trials)
        return trials, add_confirmation(analysis, plan.config, plan.base.mixture, plan.base.run, told, ended)

    def _write(self, trials: Sequence[PlannedTrial], analysis: Analysis) -> None:
        folder, told = self._plan.folder, [planned.trial for planned in trials]
        write_analysis(folder, analysis)
        write_table(folder, told, self._outcomes, analysis)
        found = analysis.recommendation
        if found is None:
            forget_recommended(self._plan)
        commands = () if found is None else write_recommended(self._plan, found)
        features = features_of(self._plan.config, self._plan.base.mixture)
        page = render_sweep(self._plan.config, told, list(self._outcomes.values()), analysis, features, commands)
        write_text_atomically(folder / REPORT, page)

    def _why_nothing(self) -> str:
        causes = [f"{own.status}: {own.cause}" for own in self._outcomes.values()]
        return f"no trial of the sweep finished; the first of them {causes[0] if causes else 'never ran'}"

    def _facts(self) -> dict[str, object]:
        return {
            "config": self._plan.config.model_dump(mode="json"),
            "held_out": list(self._plan.base.mixture.validation or ()),
            "trials": [planned.trial.model_dump(mode="json") for planned in self._plan.trials],
        }


def plan_words(trials: Sequence[PlannedTrial]) -> str:
    """Return how many trials of which kind there are."""
    counts = Counter(planned.trial.kind for planned in trials)
    several = f"{len(trials)} trials" if len(trials) > 1 else "1 trial"
    words = {
        "base": "the base mixture",
        "design": "{} of the design",
        "scaling": "{} on the other proxy",
        "confirmation": "the recommended mixture",
    }
    return f"{several}: " + ", ".join(words[kind].format(count) for kind, count in counts.items())


def _parameters(run: RunConfig) -> int:
    """Return the parameters of a proxy that a token is multiplied with."""
    return counted_parameters(open_plan(run, RunOptions()).model)
