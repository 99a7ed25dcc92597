"""What a run's Jobs prove against a status that somebody else wrote."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.domain.plan import STATUS_CORRECTED
from cascade_operator.control.kube.sessions import read_status
from cascade_operator.control.manifests.labels import run_of
from fakes.cluster import part_of
from fakes.scribbles import REPLACING, SCRIBBLES, merged
from fakes.walks import STEPS, Walk

WALKS = st.lists(
    st.tuples(st.integers(0, STEPS - 1), st.integers(0, 2**16)), min_size=1, max_size=40
)
LAWS = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ALL = SCRIBBLES | REPLACING


def scribble(walk, name):
    """Writes over the status, as anybody with the right to may."""
    status = walk.cluster.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    changed = merged(status, ALL[name](status))
    walk.cluster.status = read_status(changed)
    walk.cluster.version += 1


def corrections(walk):
    return [event for event in walk.cluster.events if event.reason == STATUS_CORRECTED]


def assert_one_at_work(walk):
    at_work = Counter(
        (run_of(job.labels), part_of(job))
        for job in walk.cluster.jobs.values()
        if not job.state.ended and job.state is not JobState.DELETING
    )
    assert max(at_work.values(), default=0) <= 1


def assert_whole(walk, run):
    status = walk.cluster.status
    assert status.phase is Phase.COMPLETE
    assert status.run.number == run
    assert [group.name for group in status.groups] == ["00", "01", "00_01"]
    assert {group.phase for group in status.groups} == {GroupPhase.SUCCEEDED}
    assert all(group.score for group in status.groups)


@LAWS
@given(st.integers(0, 8), WALKS, st.booleans())
def test_nothing_that_the_planner_wrote_is_ever_corrected(first, steps, data_gone):
    walk = Walk(data_gone=data_gone)
    walk.succeed(first)
    for what, draw in steps:
        walk.step(what, draw)
        walk.quiet()
    walk.heal()
    assert corrections(walk) == []


@pytest.mark.parametrize("ended", [1, 2, 3, 4, 5], ids="after-{}-jobs".format)
@pytest.mark.parametrize("name", SCRIBBLES)
def test_a_status_that_somebody_else_wrote_costs_no_job(name, ended):
    walk = Walk()
    walk.succeed(ended)
    walk.quiet()
    scribble(walk, name)
    walk.quiet()
    assert_one_at_work(walk)
    walk.heal()
    assert_whole(walk, 1)
    assert not {made: n for made, n in walk.cluster.created.items() if n > 1}
    assert set(walk.cluster.created) <= {
        *("triage-r1-prepare", "triage-r1-00", "triage-r1-01", "triage-r1-00-01"),
        *(f"triage-r1-archive-{number}" for number in range(1, 5)),
    }


@pytest.mark.parametrize("name", REPLACING)
def test_a_run_of_which_nothing_is_left_is_replaced(name):
    walk = Walk()
    walk.succeed(2)
    scribble(walk, name)
    walk.heal()
    assert_whole(walk, 2)


@LAWS
@given(st.integers(0, 8), WALKS, st.lists(st.sampled_from(sorted(ALL)), max_size=5))
def test_whatever_is_written_the_session_comes_to_its_end(first, steps, names):
    walk = Walk()
    walk.succeed(first)
    for (what, draw), name in zip(steps, [*names, *[""] * len(steps)], strict=False):
        walk.step(what, draw)
        if name:
            scribble(walk, name)
        walk.quiet()
        assert_one_at_work(walk)
    walk.heal()
    assert walk.cluster.status.phase in (Phase.COMPLETE, Phase.FAILED)


def test_somebody_is_told():
    walk = Walk()
    walk.succeed(1)
    walk.quiet()
    scribble(walk, "no groups")
    walk.quiet()
    (told,) = corrections(walk)
    assert "trainingsessions/status" in told.message


def test_a_run_that_is_over_is_not_trained_again_for_words():
    walk = Walk()
    walk.heal()
    made = dict(walk.cluster.created)
    for name in SCRIBBLES:
        scribble(walk, name)
        walk.quiet()
    assert walk.cluster.created == made
    assert {walk.cluster.jobs[name].state for name in walk.cluster.live()} <= {JobState.DELETING}


def test_a_success_that_was_taken_back_is_read_again_not_trained_again():
    walk = Walk()
    walk.succeed(2)
    walk.quiet()
    before = walk.cluster.status.groups
    scribble(walk, "attempts gone")
    walk.quiet()
    assert [g.score for g in walk.cluster.status.groups] == [g.score for g in before]
    assert not {made: n for made, n in walk.cluster.created.items() if n > 1}
