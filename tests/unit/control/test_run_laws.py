"""Laws of whole runs: whatever the Jobs do and in which order they end."""

import asyncio
from collections import Counter
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_operator.api.resources_spec import MemorySpec
from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.domain.model import JobState
from cascade_operator.control.domain.plan import plan
from fakes.cluster import SUCCESS, FakeCluster, Outcome, part_of, spec_of

GI = 1024**3
BUDGET = 5 * GI

OOM = Outcome(137, "OOMKilled")
GATE = Outcome(75)
STOPPED = Outcome(143)
DATA_GONE = Outcome(66)
BUSY = Outcome(69)
BAD_DATA = Outcome(65)
LOST_NODE = Outcome(None, "DeadlineExceeded")
SILENT = Outcome(silent=True)

mends = st.lists(st.sampled_from([OOM, GATE, STOPPED, BUSY, LOST_NODE]), max_size=2)
anything = st.lists(
    st.sampled_from([OOM, GATE, STOPPED, DATA_GONE, BUSY, BAD_DATA, LOST_NODE, SILENT]), max_size=6
)
PARTS = ["prepare", "archive", "00", "01", "02", "00_01", "00_02", "01_02", "00_01_02"]
GROUPS = PARTS[2:]


def scripts(outcomes):
    """For each stage and group the outcomes of its first attempts; later ones succeed."""
    return st.fixed_dictionaries(dict.fromkeys(PARTS, outcomes))


async def drive(cluster, script, order, *, losses=0):
    """Runs a session to its end, Jobs ending one by one in a drawn order."""
    attempts: Counter[str] = Counter()
    for _ in range(400):
        wait = await cluster.settle()
        run = cluster.status.run
        live = cluster.live()
        if run is not None and run.completion_time is not None and not live:
            return
        if not live:
            assert wait, "nothing runs, nothing is awaited, and the run has not ended"
            cluster.pass_time(wait)
            continue
        name = order.choice(live)
        cluster.pass_time(order.randint(1, 400))
        if cluster.jobs[name].state is JobState.DELETING or (losses and order.random() < 0.1):
            cluster.remove(name)
            losses = max(0, losses - 1)
            continue
        part = part_of(cluster.jobs[name])
        outcomes = script[part]
        outcome = outcomes[attempts[part]] if attempts[part] < len(outcomes) else SUCCESS
        attempts[part] += 1
        cluster.end(name, outcome)
    raise AssertionError("the run does not end")


def small_cluster(**changes):
    memory = MemorySpec(budget="5Gi", max_per_job="4Gi")
    given = {"memory": memory, "parallelism": 3, "max_failed_groups": 7, **changes}
    return FakeCluster(spec=spec_of(3, **given))


def run_with(script, order, *, losses=0, **changes):
    cluster = small_cluster(**changes)
    asyncio.run(drive(cluster, script, order, losses=losses))
    return cluster


def successes(cluster):
    ended = [j for j in cluster.jobs.values() if j.state is JobState.SUCCEEDED]
    return Counter(part_of(job) for job in ended)


LAWS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAWS
@given(scripts(anything), st.integers(0, 2**32), st.integers(0, 3))
def test_any_run_ends_within_its_bounds(script, seed, losses):
    cluster = run_with(script, Random(seed), losses=losses)
    assert cluster.status.phase in (Phase.COMPLETE, Phase.FAILED)
    assert cluster.most_jobs <= 3
    assert cluster.most_memory <= BUDGET
    assert len(cluster.status.history) == 1
    for group in cluster.status.groups:
        assert group.failures <= 4


@LAWS
@given(scripts(mends), st.integers(0, 2**32), st.integers(0, 3))
def test_each_group_has_exactly_one_successful_job(script, seed, losses):
    cluster = run_with(script, Random(seed), losses=losses)
    assert cluster.status.phase is Phase.COMPLETE
    counts = successes(cluster)
    assert {key: counts[key] for key in GROUPS} == dict.fromkeys(GROUPS, 1)
    assert set(cluster.status.run.archived_groups) == set(GROUPS)


@LAWS
@given(scripts(mends), st.integers(0, 2**32), st.integers(0, 2**32))
def test_the_result_does_not_depend_on_the_order_in_which_jobs_end(script, one, other):
    first, second = (run_with(script, Random(seed)).status for seed in (one, other))
    assert first.best == second.best
    timeless = {"start_time", "retry_time"}
    assert [g.model_dump(exclude=timeless) for g in first.groups] == [
        g.model_dump(exclude=timeless) for g in second.groups
    ]


@LAWS
@given(scripts(anything), st.integers(0, 2**32))
def test_a_step_is_deterministic_and_done_twice_creates_nothing_twice(script, seed):
    cluster = small_cluster()
    order = Random(seed)
    # The first write of each status is refused: what was created before it is asked for again.
    refused: set[int] = set()

    def refuse_first():
        if cluster.version not in refused:
            cluster.version += 1
            refused.add(cluster.version)

    cluster.before_status_write = refuse_first
    asyncio.run(drive(cluster, script, order))
    assert max(cluster.created.values()) == 1
    seen = cluster.seen()
    assert plan(seen, cluster.now) == plan(seen, cluster.now)
    assert plan(seen, cluster.now).actions == ()


@LAWS
@given(scripts(anything), st.integers(0, 2**32))
def test_progress_never_falls_and_status_stays_small(script, seed):
    cluster = small_cluster()
    percents = []
    write = cluster.write_status

    async def watched(session, status):
        if status.progress is not None:
            percents.append(status.progress.percent)
        assert len(status.model_dump_json(by_alias=True)) < 64 * 1024
        await write(session, status)

    cluster.write_status = watched
    asyncio.run(drive(cluster, script, Random(seed)))
    assert percents == sorted(percents)
    assert (percents[-1] == 100) == (cluster.status.phase is Phase.COMPLETE)


@LAWS
@given(scripts(st.lists(st.sampled_from([DATA_GONE, BUSY]), max_size=1)), st.integers(0, 2**32))
def test_lost_data_is_prepared_again_and_what_is_archived_is_not_trained_again(script, seed):
    cluster = run_with({**script, "prepare": []}, Random(seed))
    assert cluster.status.phase is Phase.COMPLETE
    assert all(g.phase is GroupPhase.SUCCEEDED for g in cluster.status.groups)
    lost = any(DATA_GONE in outcomes for outcomes in script.values())
    prepared = successes(cluster)["prepare"]
    assert prepared == 1 or lost
