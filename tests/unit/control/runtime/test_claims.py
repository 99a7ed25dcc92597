"""One operator a namespace: claimed, kept over failovers, left to another, taken when free."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from cascade_operator.control.kube.errors import UnreachableError
from cascade_operator.control.kube.port import RefusedError
from cascade_operator.control.runtime.claims import Claims, Yields
from cascade_operator.control.runtime.health import Role, Vitals, unreadiness
from cascade_operator.control.runtime.lease import Lease
from cascade_operator.control.runtime.watches import WatchState
from fakes.cluster import START
from fakes.event_loop import in_loop
from fakes.leases import FakeLeases, Link
from fakes.virtual_time import VirtualTime


class World:
    """Operators of namespaces ``ml`` and ``vision``, in virtual time."""

    def __init__(self):
        self.time = VirtualTime()
        self.stores = {"ml": FakeLeases(), "vision": FakeLeases()}
        self.tasks = []

    def claims(self, operator, *namespaces):
        links = {name: Link(self.stores[name]) for name in namespaces}
        claims = Claims(
            links,
            operator,
            clock=self.time.clock,
            sleep=self.time.sleep,
            wall=lambda: START,
            chance=lambda: 0.5,
        )
        claims.links = links
        return self._start(claims)

    def yields(self, read):
        yields = Yields(read, clock=self.time.clock, sleep=self.time.sleep)
        return self._start(yields)

    async def read(self):
        return {name: one.lease for name, one in self.stores.items() if one.lease is not None}

    def _start(self, territory):
        territory.gains = []
        gained = lambda: territory.gains.append(self.time.now)  # noqa: E731
        territory.task = asyncio.ensure_future(territory.run(gained))
        self.tasks.append(territory.task)
        return territory


@asynccontextmanager
async def world():
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def served(territory):
    return [name for name in ("ml", "vision") if territory.serves(name)]


@in_loop
async def test_each_namespace_is_claimed_at_once_and_kept_quietly():
    async with world() as w:
        first = w.claims("a/op", "ml", "vision")
        assert served(first) == [], "nothing before it is claimed"
        await w.time.pass_time(0)
        assert served(first) == ["ml", "vision"]
        assert len(first.gains) == 2
        await w.time.pass_time(600)
        assert served(first) == ["ml", "vision"]
        assert len(first.gains) == 2
        assert 55 <= w.stores["ml"].writes <= 70, "about six a minute"


@in_loop
async def test_a_second_operator_leaves_a_claimed_namespace_alone_and_says_who_has_it():
    async with world() as w:
        first = w.claims("a/op", "ml")
        await w.time.pass_time(5)
        second = w.claims("b/op", "ml", "vision")
        for _ in range(200):
            await w.time.pass_time(1)
            assert served(first) == ["ml"]
            assert served(second) == ["vision"]
        assert second.elsewhere == "namespace ml is served by a/op"
        assert first.elsewhere == ""


@in_loop
async def test_a_claim_that_nobody_renews_is_taken_and_never_by_two():
    async with world() as w:
        first, second = w.claims("a/op", "ml"), w.claims("b/op", "ml")
        await w.time.pass_time(20)
        holder, other = (first, second) if served(first) else (second, first)
        holder.links["ml"].cut = True
        began = w.time.now
        while not served(other):
            await w.time.pass_time(0.5)
            assert not (served(first) and served(second))
        assert 18 <= w.time.now - began <= 40
        assert other.elsewhere == ""
        holder.links["ml"].cut = False
        await w.time.pass_time(60)
        assert served(holder) == []


@in_loop
async def test_the_next_replica_of_the_same_operator_goes_on_at_once():
    async with world() as w:
        first = w.claims("a/op", "ml")
        await w.time.pass_time(5)
        first.task.cancel()
        second = w.claims("a/op", "ml")
        await w.time.pass_time(0)
        assert served(second) == ["ml"]
        assert w.stores["ml"].lease.transitions == 0


@in_loop
async def test_who_cannot_renew_stops_before_another_may_start_and_comes_back():
    async with world() as w:
        only = w.claims("a/op", "ml")
        await w.time.pass_time(1)
        only.links["ml"].cut = True
        await w.time.pass_time(21)
        assert served(only) == []
        only.links["ml"].cut = False
        await w.time.pass_time(10)
        assert served(only) == ["ml"]
        assert len(only.gains) == 2, "its sessions are looked at again"


@in_loop
async def test_an_operator_of_the_whole_cluster_yields_what_is_claimed_until_it_is_free():
    async with world() as w:
        w.stores["ml"].put(Lease("a/op", 30))
        all_of_it = w.yields(w.read)
        assert not all_of_it.serves("other"), "nothing before the first look"
        await w.time.pass_time(0)
        assert all_of_it.serves("other")
        assert served(all_of_it) == ["vision"]
        second = w.claims("b/op", "vision")
        await w.time.pass_time(11)
        assert served(all_of_it) == []
        assert served(second) == ["vision"]
        await w.time.pass_time(30)
        assert served(all_of_it) == ["ml"], "nobody renewed that one"
        assert len(all_of_it.gains) == 2
        second.task.cancel()
        await w.time.pass_time(45)
        assert served(all_of_it) == ["ml", "vision"]


@pytest.mark.parametrize(
    ("error", "serves"),
    [
        pytest.param(RefusedError("leases", reason="Forbidden"), True, id="no right to look"),
        pytest.param(UnreachableError("no route"), False, id="no answer yet"),
    ],
)
def test_what_cannot_be_seen(error, serves):
    async def run():
        async def read():
            raise error

        async with world() as w:
            all_of_it = w.yields(read)
            await w.time.pass_time(15)
            return all_of_it.serves("ml")

    assert asyncio.run(run()) is serves


@in_loop
async def test_an_answer_that_fails_changes_nothing():
    async with world() as w:
        w.stores["ml"].put(Lease("a/op", 3600))
        failing = []

        async def read():
            if failing:
                raise UnreachableError("no route")
            return await w.read()

        all_of_it = w.yields(read)
        await w.time.pass_time(0)
        failing.append(True)
        await w.time.pass_time(60)
        assert served(all_of_it) == ["vision"]


def test_an_operator_whose_namespace_is_taken_is_not_ready():
    well = {"role": Role.LEADING, "synced": True, "watches": WatchState.WATCHING}
    assert unreadiness(Vitals(**well)) == ""
    assert unreadiness(Vitals(**well, elsewhere="namespace ml is served by a/op")).startswith(
        "name"
    )
