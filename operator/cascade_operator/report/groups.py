"""Node groups as a report shows them: from an archive where it holds them, else from status."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.records import GroupResult
from cascade_operator.api.status import GroupPhase, GroupStatus
from cascade_operator.archive.model import GroupArchive, RunArchive
from cascade_operator.report.documents import letters_of
from cascade_operator.report.model import CurvePoint, GroupView, Interval
from cascade_operator.report.spread import intervals
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.results import Results, read_result
from cascade_operator.training.state import SearchState
from cascade_operator.training.trial import Trial

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Searched:
    """What an archive holds of the groups.

    Attributes:
        results: Of the groups that finished.
        trials: Group key -> trials, also of groups that are under way.
        problems: What could not be read, for a reader.
    """

    results: Results
    trials: Mapping[str, tuple[Trial, ...]]
    problems: tuple[str, ...]


def read_searches(archive: RunArchive | None) -> Searched:
    """Reads the groups' results and trials; what is damaged is left out and said."""
    results: dict[str, tuple[GroupOutcome, GroupResult]] = {}
    trials: dict[str, tuple[Trial, ...]] = {}
    problems = []
    for key, group in ({} if archive is None else archive.groups).items():
        try:
            if group.result:
                found = read_result(group.result)
                _check(found[0], group)
                trials[key] = _checked(found[0].trials)
                results[key] = found
            elif (state := json.loads(group.checkpoint_json)) != {}:
                trials[key] = _checked(tuple(SearchState.from_json(state).trials))
        except _DAMAGE as error:
            problems.append(f"The archived result of group {key} cannot be read: {error}")
    return Searched(results, trials, tuple(problems))


def group_views(
    keys: Mapping[str, tuple[str, ...]],
    searched: Searched,
    statuses: Mapping[str, GroupStatus],
    *,
    seed: int,
) -> tuple[GroupView, ...]:
    """Returns the groups, small ones first, then in cascade order.

    Args:
        keys: Group key -> its nodes.
        searched: What the archives hold.
        statuses: What the session's status says, by key.
        seed: Of the bootstrap.
    """
    vectors: dict[str, Sequence[float]] = {}
    for key, trials in searched.trials.items():
        vectors |= _validation_vectors(key, trials)
    for key, (outcome, _) in searched.results.items():
        vectors |= _held_out_vectors(key, outcome)
    spread = intervals(vectors, seed=seed)
    views = []
    for key in sorted(keys, key=lambda key: (key.count("_"), key)):
        view = GroupView(key=key, letters=letters_of(key), nodes=keys[key])
        view = _with_status(view, statuses.get(key))
        if key in searched.trials:
            view = _with_trials(view, searched.trials[key])
        if key in searched.results:
            view = _with_result(view, *searched.results[key])
        views.append(_with_spread(view, spread))
    return tuple(views)


def _checked(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    for trial in trials:
        _check_scores(trial.scores)
        if trial.whole:
            _check_scores([trial.score])
    return trials


def _check(outcome: GroupOutcome, group: GroupArchive) -> None:
    """Refuses figures that no picture can show."""
    if outcome.group.nodes != group.nodes:
        raise ValueError("it names other nodes than the archive")
    scores = [
        *outcome.held_out_scores,
        *outcome.baseline_held_out_scores,
        *(s for s in (outcome.baseline, outcome.score, outcome.held_out) if s is not None),
        *(s for s in (outcome.baseline_held_out, outcome.previous_best) if s is not None),
    ]
    _check_scores(scores)


def _check_scores(scores: Sequence[float]) -> None:
    if not all(-1.0 <= score <= 1.0 for score in scores):
        raise ValueError("a score is no number between -1 and 1")


def _validation_vectors(key: str, trials: Sequence[Trial]) -> dict[str, Sequence[float]]:
    whole = [trial for trial in trials if trial.whole and trial.scores]
    if not whole:
        return {}
    base = next((trial for trial in whole if not any(trial.program)), None)
    best = max(whole, key=lambda trial: (trial.score, -trial.number))
    found: dict[str, Sequence[float]] = {f"{key}/best": best.scores}
    if base is not None and len(base.scores) == len(best.scores):
        found[f"{key}/baseline"] = base.scores
        found[f"{key}/gain"] = _differences(best.scores, base.scores)
    return found


def _held_out_vectors(key: str, outcome: GroupOutcome) -> dict[str, Sequence[float]]:
    ours, base = outcome.held_out_scores, outcome.baseline_held_out_scores
    found: dict[str, Sequence[float]] = {f"{key}/held-out": ours, f"{key}/base-held-out": base}
    if len(ours) == len(base):
        found[f"{key}/held-out-gain"] = _differences(ours, base)
    return found


def _differences(ours: Sequence[float], base: Sequence[float]) -> list[float]:
    return [mine - other for mine, other in zip(ours, base, strict=True)]


def _with_status(view: GroupView, status: GroupStatus | None) -> GroupView:
    if status is None:
        return view
    baseline, best = _interval(status.baseline), _interval(status.score)
    held_out, base_held_out = _interval(status.held_out), _interval(status.baseline_held_out)
    return replace(
        view,
        ended=status.reason or status.phase.value,
        failed=status.phase is GroupPhase.FAILED,
        message=status.message,
        trials=status.trials,
        baseline=baseline,
        best=best,
        gain=_gain(best, baseline),
        held_out=held_out,
        baseline_held_out=base_held_out,
        held_out_gain=_gain(held_out, base_held_out),
        previous_best=None if status.previous_best is None else float(status.previous_best),
        peak_memory=_bytes(status.peak_memory),
        memory_limit=_bytes(status.memory_limit),
        attempts=status.attempt,
        parents=tuple(letters_of(parent) for parent in status.lattice_parents),
    )


def _with_trials(view: GroupView, trials: Sequence[Trial]) -> GroupView:
    curve, best = [], -math.inf
    for trial in trials:
        if trial.whole:
            best = max(best, trial.score)
            curve.append(CurvePoint(trial.number, best))
    return replace(
        view,
        ended=view.ended or "Running",
        trials=len(trials),
        whole=len(curve),
        curve=tuple(curve),
        parse_failures=sum(trial.parse_failures for trial in trials),
    )


def _with_result(view: GroupView, outcome: GroupOutcome, figures: GroupResult) -> GroupView:
    return replace(
        view,
        ended=outcome.reason.value,
        failed=False,
        previous_best=outcome.previous_best,
        calls=figures.calls,
        choice=dict(outcome.choice),
        peak_memory=figures.peak_memory or view.peak_memory,
        parents=tuple(letters_of(parent) for parent in figures.lattice_parents),
    )


def _with_spread(view: GroupView, spread: Mapping[str, Interval]) -> GroupView:
    """Figures over records win over those of status, which have no spread."""
    key = view.key
    return replace(
        view,
        baseline=spread.get(f"{key}/baseline", view.baseline),
        best=spread.get(f"{key}/best", view.best),
        gain=spread.get(f"{key}/gain", view.gain),
        held_out=spread.get(f"{key}/held-out", view.held_out),
        baseline_held_out=spread.get(f"{key}/base-held-out", view.baseline_held_out),
        held_out_gain=spread.get(f"{key}/held-out-gain", view.held_out_gain),
    )


def _interval(score: str | None) -> Interval | None:
    return None if score is None else Interval(float(score))


def _gain(ours: Interval | None, base: Interval | None) -> Interval | None:
    return None if ours is None or base is None else Interval(ours.value - base.value)


def _bytes(quantity: str) -> int:
    try:
        return int(parse_quantity(quantity)) if quantity else 0
    except ValueError:
        return 0
