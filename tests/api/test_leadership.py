"""Leadership with real processes on a real Lease: one writes, and the other takes over in time."""

from __future__ import annotations

import threading
import time
import urllib.request

import pytest

from api.rest import wait_for
from cascade_operator.control.manifests.labels import OPERATOR

pytestmark = [pytest.mark.process, pytest.mark.faults]

# Brief, so that a test takes seconds, and not so brief that a busy machine loses it: the law is
# the same.
QUICK = ("--lease-duration=12", "--lease-renew-deadline=8", "--lease-retry-period=0.5")
LOSS = "leadership lost"


def leads(operator):
    """Whether an operator says at ``/metrics`` that it leads; false where none answers."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=1
        ) as answer:
            return b"\ncascade_operator_leader 1.0" in answer.read()
    except OSError:
        return False


class Leases:
    """The Lease, as the API server has it."""

    def __init__(self, rest, namespace):
        self.rest = rest
        self.path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{OPERATOR}"

    def spec(self):
        return self.rest.get(self.path)["spec"]

    def holder(self):
        return self.spec().get("holderIdentity", "")


class Witness:
    """Looks on all the while: two that say they lead at one moment are one too many."""

    def __init__(self, *operators):
        self.operators, self.both, self.looked = operators, 0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _look(self):
        while not self._end.wait(0.05):
            # The first is asked again: it may have ended between the two questions.
            found = [leads(one) for one in (*self.operators, self.operators[0])]
            self.looked += 1
            self.both += all(found)


@pytest.fixture
def lease(control_plane, namespace):
    return Leases(control_plane.rest, namespace)


@pytest.fixture
def pair(start_operator):
    """The leader, then one that stands by; they start together."""
    both = [start_operator(*QUICK, ready=False) for _ in range(2)]
    for one in both:
        one.wait_ready(60)
    wait_for("one leads", lambda: leads(both[0]) or leads(both[1]))
    first, second = both if leads(both[0]) else reversed(both)
    assert not leads(second)
    return first, second


def until(what, probe, most):
    """Waits, and returns the seconds that it took."""
    began = time.monotonic()
    wait_for(what, probe, seconds=most)
    return time.monotonic() - began


def test_one_leads_and_a_second_is_ready_and_writes_nothing(pair, lease):
    _, second = pair
    holder = lease.holder()
    before = lease.spec()["renewTime"]
    wait_for("it is renewed", lambda: lease.spec()["renewTime"] != before)
    assert lease.holder() == holder
    assert second.answers("readyz")
    assert f"standing by: {holder} leads" in second.logged()
    with urllib.request.urlopen(f"http://127.0.0.1:{second.metrics_port}/metrics") as answer:
        requests = [
            line
            for line in answer.read().decode().splitlines()
            if line.startswith("cascade_operator_api_requests_total")
        ]
    # What it asks of its own rights is a POST that writes nothing, as is one that was refused: both
    # may have asked for the Lease at once.
    wrote_nothing = ('verb="get"', 'resource="selfsubjectaccessreviews"', 'code="409"')
    assert [line for line in requests if not any(mark in line for mark in wrote_nothing)] == []


def test_a_leader_told_to_stop_is_followed_at_once(pair, lease):
    first, second = pair
    with Witness(first, second) as witness:
        assert first.stop() == 0
        took = until("the other leads", lambda: leads(second), 8)
    assert took < 8, "sooner than the Lease would have ended"
    assert witness.looked
    assert witness.both == 0
    assert lease.spec()["leaseTransitions"] == 1


def test_a_leader_that_is_killed_is_followed_and_not_before_its_time(pair):
    first, second = pair
    first.kill()
    took = until("the other leads", lambda: leads(second), 30)
    assert took >= 4, "no sooner than its Lease allows"


def test_a_leader_that_stood_still_for_longer_than_its_lease_ends_and_writes_nothing(pair, lease):
    first, second = pair
    first.pause()
    wait_for("the other leads", lambda: leads(second))
    ours = lease.holder()
    first.resume()
    assert first.wait(60) == 1
    assert LOSS in first.logged()
    assert lease.holder() == ours
    assert leads(second)


def test_a_lease_that_is_deleted_has_one_holder_again(pair, lease):
    first, second = pair
    old = lease.holder()
    with Witness(first, second) as witness:
        lease.rest.delete(lease.path)
        wait_for("it is held again", lease.holder)
        wait_for("someone leads", lambda: leads(first) or leads(second))
    assert witness.both == 0
    if lease.holder() != old:
        assert first.wait(60) == 1
        assert leads(second)
    else:
        assert leads(first)


def test_a_leader_whose_lease_a_stranger_took_ends(pair, lease):
    first, second = pair
    lease.rest.merge(lease.path, {"spec": {"holderIdentity": "stranger"}})
    assert first.wait(60) == 1
    assert f"{LOSS}: another replica took the Lease: stranger" in first.logged()
    # The stranger never renews: its time passes, and work goes on.
    wait_for("the other leads", lambda: leads(second))


def test_without_its_api_server_a_leader_ends_in_time_and_work_goes_on_afterwards(
    control_plane, pair
):
    first, second = pair
    began = time.monotonic()
    with Witness(first, second) as witness:
        control_plane.apiserver.stop()
        try:
            assert first.wait(60) == 1
            assert time.monotonic() - began < 20
            assert second.running
            assert not leads(second)
        finally:
            control_plane.start_apiserver()
        wait_for("the other leads", lambda: leads(second))
    assert witness.both == 0
    assert LOSS in first.logged()


def test_an_operator_told_to_stop_ends_with_0_also_without_its_api_server(
    control_plane, start_operator
):
    operator = start_operator()
    control_plane.apiserver.stop()
    try:
        began = time.monotonic()
        # Its Lease outlives this: it ends because it is told to.
        assert operator.stop() == 0
        assert time.monotonic() - began < 25
    finally:
        control_plane.start_apiserver()
