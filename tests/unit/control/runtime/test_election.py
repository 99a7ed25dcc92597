"""Leadership: never two at once, taken over in time, given up when told to end."""

import asyncio
import heapq
import itertools
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.control.kube.port import ConflictError
from cascade_operator.control.runtime.candidate import Candidate, Terms
from cascade_operator.control.runtime.elector import Elector
from cascade_operator.control.runtime.lease import Lease, micro_time, read_lease
from fakes.cluster import START
from fakes.event_loop import in_loop
from fakes.leases import FakeLeases, Link
from fakes.virtual_time import VirtualTime

TERMS = Terms()


class World:
    """Electors over one Lease, in virtual time."""

    def __init__(self):
        self.time = VirtualTime()
        self.store = FakeLeases()
        self.ends = {}

    def join(self, name):
        link = Link(self.store)
        elector = Elector(
            link,
            name,
            TERMS,
            clock=self.time.clock,
            sleep=self.time.sleep,
            wall=lambda: START,
            chance=lambda: 0.5,
        )
        return link, elector, asyncio.ensure_future(self._live(name, elector))

    async def _live(self, name, elector):
        await elector.acquire()
        self.ends[name] = await elector.hold()


@asynccontextmanager
async def two_replicas():
    world = World()
    first = world.join("a")
    await world.time.pass_time(0)
    second = world.join("b")
    await world.time.pass_time(30)
    assert first[1].leads
    assert not second[1].leads
    yield world, first, second
    for _, _, life in (first, second):
        life.cancel()
        with suppress(asyncio.CancelledError):
            await life


async def seconds_until(world, holds, most):
    began = world.time.now
    while not holds() and world.time.now - began <= most:
        await world.time.pass_time(0.1)
    return world.time.now - began


@in_loop
async def test_one_leads_and_renews_while_the_other_stands_by():
    async with two_replicas() as (world, _, _):
        assert world.store.lease.holder == "a"
        assert world.store.lease.transitions == 0
        assert 15 <= world.store.writes <= 18


@in_loop
async def test_a_lease_that_is_given_up_is_taken_within_about_a_second():
    async with two_replicas() as (world, (_, a, life), (_, b, _)):
        life.cancel()
        await a.release()
        assert world.store.lease.holder == ""
        assert not a.leads
        assert await seconds_until(world, lambda: b.leads, 5) <= 1.3
        assert world.store.lease.transitions == 1


@in_loop
async def test_a_leader_that_dies_is_followed_within_20_s_and_not_before_its_time():
    async with two_replicas() as (world, (_, _, life), (_, b, _)):
        life.cancel()
        assert 13 <= await seconds_until(world, lambda: b.leads, 60) <= 18


@in_loop
async def test_a_leader_that_is_cut_off_stops_before_the_other_starts():
    async with two_replicas() as (world, (link, a, _), (_, b, _)):
        link.cut = True
        assert 8 <= await seconds_until(world, lambda: not a.leads, 60) <= 10.1
        await world.time.pass_time(0)
        assert "could not be renewed" in world.ends["a"]
        assert not b.leads
        assert await seconds_until(world, lambda: b.leads, 60) <= 8


@in_loop
async def test_lost_answers_cost_leadership_no_more_than_lost_requests():
    async with two_replicas() as (world, (link, a, _), (_, b, _)):
        link.loses_answers = True
        await world.time.pass_time(7)
        link.loses_answers = False
        await world.time.pass_time(30)
        assert a.leads
        assert not b.leads
        assert world.store.lease.transitions == 0


@in_loop
async def test_a_leader_ends_when_another_hand_gives_the_lease_away():
    async with two_replicas() as (world, (_, a, _), (_, b, _)):
        world.store.put(replace(world.store.lease, holder="stranger"))
        await world.time.pass_time(2.5)
        assert not a.leads
        assert world.ends["a"] == "another replica took the Lease: stranger"
        assert not b.leads


@in_loop
async def test_a_lease_that_is_removed_is_made_again_once_its_holder_has_ended():
    async with two_replicas() as (world, (_, a, _), (_, b, _)):
        seen = world.time.now
        world.store.lease = None
        while not b.leads and world.time.now - seen < 30:
            await world.time.pass_time(0.1)
            assert not (a.leads and b.leads)
        assert "removed" in world.ends["a"]
        assert 10 <= world.time.now - seen <= 16


@in_loop
async def test_who_has_seen_no_holder_need_not_wait_for_one():
    async with two_replicas() as (world, (_, _, life), (_, _, other)):
        life.cancel()
        other.cancel()
        world.store.lease = None
        _, c, living = world.join("c")
        assert await seconds_until(world, lambda: c.leads, 5) <= 2
        living.cancel()


@in_loop
async def test_release_does_not_wait_for_a_server_that_is_silent_and_never_fails():
    async with two_replicas() as (world, (link, a, _), _):
        link.cut = True
        await a.release()
        assert world.store.lease.holder == "a"


@in_loop
async def test_a_request_that_hangs_ends_leadership_in_time():
    store = FakeLeases()
    elector = Elector(store, "a", Terms(duration=0.6, renew=0.4, retry=0.1))
    await elector.acquire()
    store.silent = True
    began = asyncio.get_running_loop().time()
    reason = await elector.hold()
    assert "could not be renewed" in reason
    assert not elector.leads
    assert asyncio.get_running_loop().time() - began < 5


# The law, over schedules of requests that are slow, lost, answered in vain or late.

FATES = st.sampled_from(["ok", "ok", "ok", "request lost", "answer lost", "late"])
STEP = st.tuples(FATES, st.floats(0, 4), st.floats(0, 4), st.floats(0, 3))
SPEED = st.floats(0.9, 1.1)


class Simulation:
    """Candidates whose requests and answers travel; each has a clock of its own speed."""

    def __init__(self, speeds, plans):
        self.store = FakeLeases()
        self.now = 0.0
        self.speeds = speeds
        self.candidates = [Candidate(f"c{i}", TERMS) for i in range(len(speeds))]
        self.plans = [iter(plan) for plan in plans]
        self.order = itertools.count()
        self.agenda = []
        self.led = set()

    def local(self, i):
        return 100.0 * i + self.now * self.speeds[i]

    def at(self, delay, act):
        heapq.heappush(self.agenda, (self.now + delay, next(self.order), act))

    def run(self):
        for i in range(len(self.candidates)):
            self.at(0.1 * i, lambda i=i: self.act(i))
        while self.agenda:
            self.now, _, act = heapq.heappop(self.agenda)
            act()
            leaders = [c.identity for i, c in enumerate(self.candidates) if c.leads(self.local(i))]
            assert len(leaders) <= 1, f"{leaders} lead at {self.now}"
            self.led.update(leaders)

    def act(self, i):
        step = next(self.plans[i], None)
        if step is None:
            return
        fate, out, back, rest = step
        candidate, asked = self.candidates[i], self.local(i)
        wanted = candidate.next_write(asked, "t")

        def again():
            self.act(i)

        def arrive():
            try:
                answer = self.store.lease if wanted is None else self.store.put(wanted)
            except ConflictError:
                answer = self.store.lease
                if fate == "ok":
                    self.at(back, lambda: candidate.saw(answer, self.local(i)))
                return
            if fate != "ok":
                return
            if wanted is None:
                self.at(back, lambda: candidate.saw(answer, self.local(i)))
            else:
                self.at(back, lambda: candidate.wrote(answer, asked, self.local(i)))

        if fate == "late":
            self.at(out + back + 8, arrive)
        elif fate != "request lost":
            self.at(out, arrive)
        # Reads follow writes that did not succeed, as the elector makes them.
        if fate != "ok":
            self.at(out + back, lambda: candidate.saw(self.store.lease, self.local(i)))
        self.at(out + back + rest + 0.01, again)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(SPEED, min_size=3, max_size=3),
    st.lists(st.lists(STEP, min_size=4, max_size=25), min_size=3, max_size=3),
)
def test_two_never_lead_at_once(speeds, plans):
    Simulation(speeds, plans).run()


def test_the_simulation_has_leaders_that_change():
    plan = [("ok", 0.1, 0.1, 1.0)] * 6
    late = [("ok", 0.1, 0.1, 3.0)] * 12
    simulation = Simulation([1.0, 1.0, 1.0], [plan, late, []])
    simulation.run()
    assert simulation.led == {"c0", "c1"}


# The Lease's form.


def test_micro_time_has_six_digits_and_is_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", micro_time(START))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            {
                "metadata": {"resourceVersion": "7"},
                "spec": {
                    "holderIdentity": "a",
                    "leaseDurationSeconds": 15,
                    "leaseTransitions": 3,
                    "acquireTime": "x",
                    "renewTime": "y",
                },
            },
            Lease("a", 15, 3, "x", "y", "7"),
            id="whole",
        ),
        pytest.param({}, Lease("", 0), id="empty"),
        pytest.param({"spec": None, "metadata": []}, Lease("", 0), id="of another form"),
        pytest.param(
            {"spec": {"leaseDurationSeconds": 10**12, "leaseTransitions": -4}},
            Lease("", 3600, 0),
            id="out of bounds",
        ),
    ],
)
def test_leases_are_read_whatever_they_hold(found, expected):
    assert read_lease(found) == expected


def test_the_holders_own_promise_counts():
    candidate = Candidate("b", TERMS)
    candidate.saw(Lease("a", 40, version="1"), 100.0)
    assert candidate.next_write(139.0, "t") is None
    assert candidate.next_write(140.0, "t").holder == "b"


def test_a_leaders_time_counts_from_before_it_asked():
    candidate = Candidate("a", TERMS)
    candidate.wrote(Lease("a", 15, version="1"), asked=100.0, now=104.0)
    assert candidate.leads(109.9)
    assert not candidate.leads(110.0)
