"""What follows from a run's status: best, progress, conditions."""

import asyncio
from datetime import timedelta

import pytest

from cascade_operator.api.calls import CallFigures
from cascade_operator.api.records import GroupResult, Progress
from cascade_operator.api.resources_spec import MemorySpec
from cascade_operator.api.search_spec import OptimizerSpec
from cascade_operator.api.status import GroupPhase, GroupStatus, RunStatus
from cascade_operator.control.domain.best import best_of
from cascade_operator.control.domain.figures import score_text
from cascade_operator.control.domain.model import PROGRESS_SECONDS
from cascade_operator.control.domain.run_start import next_session_id
from fakes.cluster import START, FakeCluster, Outcome, spec_of


def done(key, score, **changes):
    given = {"phase": GroupPhase.SUCCEEDED, "nodes": ["n"], "score": score, **changes}
    return GroupStatus(name=key, **given)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([done("00", None)], None, id="no figures"),
        pytest.param([done("00", "0.5000"), done("01", "0.6000")], "01", id="the highest"),
        pytest.param([done("00", "0.5000"), done("00_01", "0.5000")], "00", id="tie: the smaller"),
        pytest.param([done("00", "0.5000"), done("01", "0.5000")], "00", id="tie: the earlier"),
        pytest.param([done("00", "0.9000"), done("01", "-0.1000")], "00", id="negative scores"),
        pytest.param(
            [done("00", "0.5000"), done("01", "0.9000", phase=GroupPhase.FAILED)],
            "00",
            id="a failed group is none",
        ),
    ],
)
def test_best(groups, expected):
    best = best_of(groups, None)
    assert (best and best.group) == expected


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.5, "0.5000"),
        (1.0, "1.0000"),
        (-0.0, "0.0000"),
        (-0.00001, "-0.0000"),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_score_text(score, text):
    assert score_text(score) == text


@pytest.mark.parametrize(
    ("last", "seconds", "expected"),
    [
        pytest.param(None, 0, "20260301T120000Z", id="the first run"),
        pytest.param("20260301T110000Z", 0, "20260301T120000Z", id="long after"),
        pytest.param("20260301T120000Z", 0, "20260301T120001Z", id="in the same second"),
        pytest.param("20260301T130000Z", 0, "20260301T130001Z", id="a clock that went back"),
        pytest.param("unreadable", 0, "20260301T120001Z", id="by its start instead"),
    ],
)
def test_session_ids_go_up(last, seconds, expected):
    run = last and RunStatus(number=1, session_id=last, spec_hash="h", start_time=START)
    assert next_session_id(run, START + timedelta(seconds=seconds)) == expected


def settle(cluster):
    return asyncio.run(cluster.settle())


def training(**changes):
    cluster = FakeCluster(spec=spec_of(optimizer=OptimizerSpec(trials=40), **changes))
    settle(cluster)
    cluster.end("triage-r1-prepare")
    settle(cluster)
    return cluster


def test_live_figures_make_progress_and_an_estimate():
    cluster = training()
    assert cluster.status.progress.estimated_remaining_seconds is None, "nothing seen yet"
    cluster.pass_time(100)
    cluster.progress = {
        key: Progress(
            name=key,
            stage=41,
            done=10,
            total=40,
            calls=CallFigures(model_calls=5, cache_hits=2, input_tokens=70, output_tokens=30),
        )
        for key in ("00", "01")
    }
    assert settle(cluster) == PROGRESS_SECONDS
    progress = cluster.status.progress
    assert progress.percent == 5 + 90 * 0.5 // 3
    # 10 s a trial; 30 trials in each of two lanes, then 40 of the pair.
    assert progress.estimated_remaining_seconds == 720
    assert (progress.model_calls, progress.tokens, progress.cache_hits) == (10, 200, 4)
    cluster.progress = {}
    settle(cluster)
    kept = cluster.status.progress
    assert (kept.percent, kept.model_calls) == (progress.percent, 10)


def test_figures_beyond_measure_break_no_turn():
    cluster = training()
    cluster.pass_time(100)
    most = CallFigures(**dict.fromkeys(CallFigures.model_fields, 10**15))
    cluster.progress = {
        key: Progress(name=key, stage=41, done=10**15, total=1, calls=most) for key in ("00", "01")
    }
    settle(cluster)
    assert cluster.status.progress.model_calls == 10**15
    assert cluster.status.progress.tokens == 2 * 10**15


def test_calls_of_each_part_stay_counted_and_make_the_total():
    cluster = training()
    prepared = cluster.status.run.prepare.calls

    def live(key, **calls):
        return Progress(name=key, stage=41, total=40, calls=CallFigures(**calls))

    cluster.pass_time(PROGRESS_SECONDS)
    cluster.progress = {"00": live("00", model_calls=5, cache_hits=2, memory_hits=30)}
    settle(cluster)
    cluster.pass_time(PROGRESS_SECONDS)
    # A Redis that was lost counts anew, and falls behind.
    cluster.progress = {"00": live("00", model_calls=1, parse_failures=1)}
    settle(cluster)
    cluster.pass_time(PROGRESS_SECONDS)
    # Its record has expired; another group's is there.
    cluster.progress = {"01": live("01", model_calls=4, waits=1, saved_tokens=9)}
    settle(cluster)
    groups = {group.name: group.calls for group in cluster.status.groups}
    assert groups["00"] == CallFigures(
        model_calls=5, cache_hits=2, memory_hits=30, parse_failures=1
    )
    assert (groups["01"].model_calls, groups["00_01"]) == (4, None)
    assert prepared == CallFigures()
    progress = cluster.status.progress
    assert (progress.model_calls, progress.cache_hits, progress.waits) == (9, 2, 1)
    assert (progress.saved_calls, progress.saved_tokens) == (32, 9)


def test_a_groups_last_word_on_its_calls_is_taken():
    cluster = training()
    last = CallFigures(model_calls=7, failed_attempts=1)
    for name in cluster.live():
        key = name.removeprefix("triage-r1-")
        cluster.end(name, Outcome(message=GroupResult(group=key, calls=last)))
    settle(cluster)
    assert [group.calls for group in cluster.status.groups] == [last, last, None]
    assert cluster.status.progress.model_calls == 14


def test_the_estimate_is_bounded_by_the_runs_deadline():
    cluster = training()
    cluster.pass_time(86400 - 60)
    cluster.progress = {"00": Progress(name="00", stage=41, done=1, total=40)}
    settle(cluster)
    assert cluster.status.progress.estimated_remaining_seconds == 60


def conditions(cluster):
    return {c.type.value: c for c in cluster.status.conditions}


def row(cluster):
    seen = conditions(cluster)
    flags = tuple(seen[t].status if t in seen else "-" for t in ("Ready", "Reconciling", "Stalled"))
    return (*flags, seen["Ready"].reason)


def walk(cluster, *outcomes):
    for outcome in outcomes:
        for name in cluster.live():
            cluster.end(name, outcome)
        settle(cluster)


OK = Outcome()
ROWS = [
    pytest.param([], {}, ("False", "True", "-", "Preparing"), id="accepted, preparing"),
    pytest.param([Outcome(69)], {}, ("False", "True", "-", "Retrying"), id="prepare failed, retry"),
    pytest.param([OK], {}, ("True", "-", "-", "Training"), id="training"),
    pytest.param([OK, Outcome(69)], {}, ("True", "-", "-", "Training"), id="groups are retried"),
    pytest.param([OK, OK, OK], {}, ("True", "-", "-", "Archiving"), id="archiving"),
    pytest.param(
        [OK, OK, OK, Outcome(73)],
        {},
        ("False", "True", "-", "Retrying"),
        id="archive failed, retry",
    ),
    pytest.param([OK, OK, OK, OK], {}, ("True", "-", "-", "Complete"), id="complete"),
    pytest.param([Outcome(65)], {}, ("False", "-", "True", "PrepareFailed"), id="bad data"),
    pytest.param(
        [OK, Outcome(65), OK, OK], {}, ("False", "-", "True", "GroupsFailed"), id="groups failed"
    ),
    pytest.param(
        [OK, OK, OK, Outcome(64)], {}, ("False", "-", "True", "ArchiveFailed"), id="archive failed"
    ),
    pytest.param(
        [OK, Outcome(65), OK, OK],
        {"max_failed_groups": 2},
        ("True", "-", "-", "Complete"),
        id="as many failed as may",
    ),
]


@pytest.mark.parametrize(("outcomes", "changes", "expected"), ROWS)
def test_conditions_follow_the_table(outcomes, changes, expected):
    cluster = FakeCluster(spec=spec_of(**changes))
    settle(cluster)
    walk(cluster, *outcomes)
    assert row(cluster) == expected
    assert all(c.observed_generation == 1 for c in cluster.status.conditions)
    assert cluster.status.observed_generation == 1


def test_a_transition_time_changes_only_with_the_status():
    cluster = training()
    since = conditions(cluster)["Ready"].last_transition_time
    cluster.pass_time(500)
    walk(cluster, OK, OK)
    ready = conditions(cluster)["Ready"]
    assert (ready.reason, ready.last_transition_time) == ("Archiving", since)
    cluster.pass_time(500)
    walk(cluster, Outcome(73))
    assert conditions(cluster)["Ready"].last_transition_time == cluster.now


def test_a_run_short_of_budget_says_for_whom():
    cluster = training(memory=MemorySpec(budget="2Gi", max_per_job="2Gi"), parallelism=4)
    assert conditions(cluster)["MemoryLimited"].status == "False"
    cluster.end("triage-r1-00", Outcome(75))
    settle(cluster)
    limited = conditions(cluster)["MemoryLimited"]
    assert (limited.status, limited.reason) == ("True", "WaitingForBudget")
    assert limited.message.endswith("00")
    cluster.end("triage-r1-01")
    settle(cluster)
    assert conditions(cluster)["MemoryLimited"].reason == "LimitRaised"
