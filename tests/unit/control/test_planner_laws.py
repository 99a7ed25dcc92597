"""Laws of the planner in whatever state a session can come to."""

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cascade_operator.api.status import GroupPhase, TrainingSessionStatus
from cascade_operator.control.domain.model import CreateConfigMap, CreateJob, JobState
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.manifests.labels import run_of
from fakes.cluster import part_of
from fakes.walks import STEPS, Walk, shuffled

ONE_STEP = st.tuples(st.integers(0, STEPS - 1), st.integers(0, 2**16))
WALKS = st.lists(ONE_STEP, min_size=1, max_size=60)
FIRST = st.integers(0, 8)
"""Jobs that end well before the walk: up to a run that is over."""

LAWS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_LONG = 30 * 24 * 3600.0


def rejected(step, cluster):
    """Whether all that a plan still asks for is what the API server will not have."""
    names = {a.manifest["metadata"]["name"] for a in step.actions}
    return names <= set(cluster.refused)


def assert_quiet(step, cluster):
    """A plan that neither writes, nor makes, nor tells anything."""
    assert step.status == cluster.status
    assert step.events == ()
    asked = [a for a in step.actions if not isinstance(a, CreateJob | CreateConfigMap)]
    assert asked == []
    assert rejected(step, cluster)


def assert_settled(walk):
    """Quiet now, in any order of what is seen, and until the plan wants to be asked again."""
    cluster = walk.cluster
    step = walk.quiet()
    assert_quiet(step, cluster)
    assert plan(shuffled(cluster.seen()), cluster.now) == step
    wait = min(step.requeue_after or _LONG, _LONG)
    assert wait > 0
    for part in (0.1, 0.5, 0.9):
        later = cluster.now + timedelta(seconds=int(wait * part))
        assert_quiet(plan(cluster.seen(), later), cluster)
    assert_quiet(plan(cluster.seen(), cluster.now + timedelta(seconds=wait - 1)), cluster)


def assert_bounds(walk):
    """One Job at work a part and run, made once; a status that reads back as it was written."""
    at_work = [
        (run_of(job.labels), part_of(job))
        for job in walk.cluster.jobs.values()
        if not job.state.ended and job.state is not JobState.DELETING
    ]
    assert max(Counter(at_work).values(), default=0) <= 1
    again = walk.cluster.created - Counter(walk.cluster.created.keys())
    assert again <= walk.cluster.removed
    text = walk.cluster.status.model_dump_json(by_alias=True)
    assert len(text) < 64 * 1024
    assert TrainingSessionStatus.model_validate_json(text) == walk.cluster.status


@LAWS
@given(FIRST, WALKS, st.booleans())
@example(0, [(19, 1422), (0, 32)], False)  # the name of a Job to be made is another's
def test_any_state_settles_and_stays_quiet(first, steps, data_gone):
    walk = Walk(data_gone=data_gone)
    walk.succeed(first)
    assert_settled(walk)
    for what, draw in steps:
        walk.step(what, draw)
        assert_settled(walk)
        assert_bounds(walk)


@LAWS
@given(FIRST, WALKS)
def test_after_any_walk_each_group_has_exactly_one_successful_job_in_a_run(first, steps):
    walk = Walk()
    walk.succeed(first)
    for what, draw in steps:
        walk.step(what, draw)
        walk.quiet()
    walk.heal()
    status = walk.cluster.status
    groups = {key for _, key in walk.successes if key not in ("prepare", "archive")}
    counts = {pair: n for pair, n in walk.successes.items() if pair[1] in groups}
    assert max(counts.values(), default=0) <= 1
    for group in status.groups:
        succeeded = group.phase is GroupPhase.SUCCEEDED
        assert walk.successes[status.run.number, group.name] == succeeded
    assert len({entry.number for entry in status.history}) == len(status.history)
