"""Faults of the network between the operator and the API server, both of which are well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.control_plane import ControlPlane
from api.custom_resource import sessions_path
from api.invariants import assert_no_orphans, assert_whole
from api.metrics import counted
from api.proxy import Proxy, proxied
from api.rest import let_pass, wait_for
from api.session_bed import NO_REDIS, Session, SessionBed, serving
from cascade_operator.control.loop.controller import GAP_SECONDS

pytestmark = pytest.mark.faults

CUT_SECONDS = 0.5
SILENT_SECONDS = 20


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    """The network between the operator and the API server."""
    with proxied(control_plane.port) as made:
        yield made


@pytest.fixture
def bed(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> Iterator[SessionBed]:
    """An operator behind the proxy, and its sessions."""
    flags = ("--no-leader-election", NO_REDIS)
    with serving(control_plane, tmp_path, *flags, port=proxy.port) as made:
        yield made


def test_connections_that_are_cut_twice_a_second(bed: SessionBed, proxy: Proxy):
    """Watches and requests alike, all the time, the server being up."""
    session = bed.session(play={"run-seconds": "0.5"})
    other = bed.session()
    with _cutting(proxy) as cut:
        for one in (session, other):
            wait_for(
                "it ends",
                lambda one=one: cut() and one.status().get("phase") == "Complete",
            )
    assert proxy.cuts >= 20, f"{proxy.cuts} connections were cut"
    for one in (session, other):
        assert_whole(one)
        assert_no_orphans(bed.rest, one.namespace)


@contextmanager
def _cutting(proxy: Proxy) -> Iterator[Callable[[], bool]]:
    """Yields what has to be called again and again; it cuts when it is time."""
    last = time.monotonic()

    def cut() -> bool:
        nonlocal last
        if time.monotonic() - last > CUT_SECONDS:
            proxy.cut()
            last = time.monotonic()
        return True

    yield cut


def test_watches_that_fall_silent(bed: SessionBed, proxy: Proxy):
    """Nothing comes, and nothing says that nothing will: as behind a load balancer that forgot."""
    session = bed.session(play={"outcome.00": "hold"})
    other = bed.session()
    _hold(session, "00")
    other.wait_phase("Complete")
    # What kopf had listed is compared soon after: that would tell of the late one.
    let_pass("the comparison after the first list", GAP_SECONDS + 1)
    proxy.silence_watches()
    late = bed.session(other.namespace, name="late")
    _finish(session, "00")
    before = len(session.versions())
    let_pass("silence", SILENT_SECONDS)
    assert len(session.versions()) == before, "the operator heard of it in spite of the silence"
    assert late.status()["observedGeneration"] == -1
    # What was held back is lost with its connection, as it would be.
    proxy.cut()
    proxy.restore()
    for one in (session, other, late):
        assert_whole(one)
        assert_no_orphans(bed.rest, one.namespace)


def test_a_gap_that_no_watch_will_ever_tell_of(
    bed: SessionBed, proxy: Proxy, control_plane: ControlPlane
):
    """A Job and a session go while the watches hear nothing; then the server forgets that (410)."""
    session = bed.session(play={"outcome.00": "hold"})
    other = bed.session(play={"run-seconds": "2"})
    gone = bed.session(play={"outcome.00": "hold"})
    for one in (session, gone):
        _hold(one, "00")
    proxy.silence_watches()
    path = f"/apis/batch/v1/namespaces/{session.namespace}/jobs/small-r1-00"
    bed.rest.delete(path, propagationPolicy="Background")
    bed.rest.delete(sessions_path(gone.namespace, gone.name))
    wait_for("the Job and its pod are gone", lambda: "small-r1-00" not in _all_of(session))
    wait_for("the session's children are collected", lambda: not _all_of(gone))
    # A server that has just started knows no earlier version than the present one.
    control_plane.apiserver.kill()
    control_plane.start_apiserver()
    proxy.cut()
    proxy.restore()
    wait_for("it is made again", lambda: "small-r1-00" in session.jobs())
    for kind in ("jobs", "trainingsessions"):
        wait_for(
            f"{kind} that are gone are missed",
            lambda kind=kind: counted(bed.operator, "resync_pruned_total", kind=(kind,)),
        )
    _hold(session, "00")
    _finish(session, "00")
    assert_whole(session, made_again=("00",))
    assert_whole(other)
    for one in (session, other, gone):
        assert_no_orphans(bed.rest, one.namespace)
    assert _all_of(gone) == set()


def _all_of(session: Session) -> set[str]:
    """Names of its Jobs, and of those whose pods are there."""
    pods = session.pods().values()
    return {*session.jobs(), *(pod["metadata"]["labels"]["job-name"] for pod in pods)}


def _hold(session: Session, group: str) -> None:
    """Waits until a group's pod runs, which it does until :func:`_finish`."""
    wait_for(f"group {group} runs", lambda: session.running(group))


def _finish(session: Session, group: str) -> None:
    for pod in session.running(group):
        session.play(pod, **{f"outcome.{group}": "complete"})
