"""Faults of what the operator stands on: afterwards everything is as if there had been none.

Itself killed, the API server away, its store standing still, the CRD removed. The network between
them is in ``test_network_faults``, what is done to single sessions in ``test_session_faults``.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.control_plane import ControlPlane
from api.custom_resource import delete_crd, install_crd, sessions_path
from api.invariants import assert_no_orphans, assert_whole
from api.metrics import counted
from api.rest import ApiError, Rest, let_pass, wait_for
from api.session_bed import NO_REDIS, TWO_NODES, Session, SessionBed, serving

pytestmark = pytest.mark.faults

KILLS = 50
AWAY_SECONDS = 30
STILL_SECONDS = 40
UNDER_WAY = ("Preparing", "Training", "Archiving")
NO_ANSWER = ("0", "500", "503", "504")
OURS = ("trainingsessions/status", "jobs", "pods", "configmaps", "events")


@pytest.fixture
def bed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[SessionBed]:
    """An operator of this test's own, whose Lease is not the point, and its sessions."""
    with serving(control_plane, tmp_path, "--no-leader-election", NO_REDIS) as made:
        yield made


@dataclass(frozen=True)
class Kill:
    """When the operator was killed.

    Attributes:
        phase: Of the session that was aimed at; empty before its first status.
        writes: How often its status had been written by then.
    """

    phase: str
    writes: int


@pytest.mark.timeout(900)
def test_a_killed_operator_goes_on_where_it_was(
    bed: SessionBed, record_property: Callable[[str, object], None]
):
    """Fifty kills at seeded moments of sessions' lives, each with a restart at once."""
    chance = random.Random(20261124)
    sessions: list[Session] = []
    kills: list[Kill] = []
    while len(kills) < KILLS:
        aim = next((one for one in sessions[-2:] if _under_way(one)), None)
        if aim is None:
            namespaces = [sessions[0].namespace, sessions[1].namespace] if sessions else ["", ""]
            name = f"s{len(sessions) // 2}"
            play = {"run-seconds": "0.3"}
            sessions += [bed.session(where, name=name, play=play) for where in namespaces]
            aim = sessions[-2]
        _wait_for_a_moment(aim, chance)
        if _under_way(aim):
            bed.operator.kill()
            # Its first version is the one that was applied.
            kills.append(Kill(aim.status().get("phase", ""), len(aim.versions()) - 1))
            bed.operator.start()
    for session in sessions:
        assert_whole(session)
        assert_no_orphans(bed.rest, session.namespace)
    spread = Counter(kill.phase for kill in kills)
    shown = f"{len(sessions)} sessions, kills by phase {dict(spread)}, {kills}"
    record_property("kills", shown)
    assert all(spread[phase] >= 5 for phase in UNDER_WAY), shown
    assert KILLS - spread["Complete"] >= 45, shown
    # A life has about five writes: after each of them, and between any two.
    assert len({kill.writes for kill in kills}) >= 4, shown


def _under_way(session: Session) -> bool:
    return session.status().get("phase") != "Complete"


def _wait_for_a_moment(session: Session, chance: random.Random) -> None:
    """Waits until right after one of the next writes of a session's status, or between two."""
    wanted = chance.randint(0, 3)
    deadline = time.monotonic() + chance.uniform(0.0, 1.5)
    version = session.raw()["metadata"]["resourceVersion"]
    while wanted and time.monotonic() < deadline:
        raw = session.raw()
        if raw["metadata"]["resourceVersion"] != version:
            version, wanted = raw["metadata"]["resourceVersion"], wanted - 1


def test_an_api_server_that_was_away_for_half_a_minute(
    bed: SessionBed, control_plane: ControlPlane, record_property: Callable[[str, object], None]
):
    session = bed.session(play={"run-seconds": "2"})
    other = bed.session()
    session.wait_phase("Training")
    control_plane.apiserver.stop()
    try:
        let_pass("half a minute without the API server", AWAY_SECONDS)
        assert bed.operator.running
        assert bed.operator.answers("healthz"), "a restart would mend nothing"
    finally:
        before = len(session.versions())
        control_plane.start_apiserver()
    ready = time.monotonic()
    late = bed.session(other.namespace, name="late")
    late.wait("it is seen", lambda status: status["observedGeneration"] == 1, seconds=20)
    record_property("seconds until a new session is seen", round(time.monotonic() - ready, 1))
    wait_for("the next status", lambda: len(session.versions()) > before, seconds=60)
    record_property("seconds until the next status", round(time.monotonic() - ready, 1))
    for one in (session, other, late):
        assert_whole(one)
        assert_no_orphans(bed.rest, one.namespace)
    wait_for("ready again", lambda: bed.operator.answers("readyz"))


def test_a_store_that_stood_still(bed: SessionBed, control_plane: ControlPlane):
    session = bed.session(play={"run-seconds": "1"})
    other = bed.session()
    session.wait_phase("Training")
    # In its first moments, when one write of the operator's follows another.
    late = bed.session(session.namespace, name="late")
    wait_for("it is heard of", late.versions)
    failed = counted(bed.operator, "api_requests_total", code=NO_ANSWER)
    control_plane.etcd.pause()
    stood = time.monotonic()
    try:
        assert _refuses(bed.rest, session.namespace)
        let_pass("the store stands still", STILL_SECONDS - (time.monotonic() - stood))
        assert bed.operator.answers("healthz"), "a restart would mend nothing"
        assert counted(bed.operator, "api_requests_total", code=NO_ANSWER) > failed
        assert _refuses(bed.rest, session.namespace)
    finally:
        control_plane.etcd.resume()
        control_plane.restart_clients()
    for one in (session, other, late):
        assert_whole(one)
        assert_no_orphans(bed.rest, one.namespace)


def _refuses(rest: Rest, namespace: str) -> bool:
    """Whether a write is answered with a fault of the server's, or not at all."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with pytest.raises((ApiError, OSError)) as refusal:
        rest.request("POST", path, body, seconds=3)
    return not isinstance(refusal.value, ApiError) or refusal.value.status >= 500


def test_a_crd_that_is_removed_and_restored(bed: SessionBed):
    rest = bed.rest
    before = bed.session(play={"run-seconds": "1"})
    ended = bed.session()
    before.wait_phase("Training")
    assert_whole(ended)
    delete_crd(rest)
    try:
        for one in (before, ended):
            wait_for(
                "its children are collected",
                lambda one=one: not one.jobs() and not one.pods(),
            )
            assert_no_orphans(rest, one.namespace)
        wait_for("not ready", lambda: not bed.operator.answers("readyz"))
        assert bed.operator.answers("healthz"), "a restart would mend nothing"
    finally:
        install_crd(rest)
    for old in (before, ended):
        again = bed.session(old.namespace, name=old.name)
        assert again.uid != old.uid
        assert_whole(again)
        assert_no_orphans(rest, old.namespace)


def _turns_at_rest(bed: SessionBed) -> float:
    """How many turns there were once the last events of what has ended were heard."""
    turns = -1.0
    for _ in range(10):
        before, turns = turns, counted(bed.operator, "reconciles_total")
        if turns == before:
            return turns
        let_pass("two seconds", 2)
    raise AssertionError(f"no rest after {turns:g} turns")


def test_a_spec_that_is_wrong_by_meaning_is_not_tried_again(bed: SessionBed):
    """Node ``answer`` reads a field that nobody writes: nothing happens until that is mended."""
    tiers = [dict(tier) for tier in TWO_NODES["tiers"]]
    tiers[1] = {**tiers[1], "nodes": [{"name": "answer", "signature": "request, news -> reply"}]}
    wrong = bed.session(cascade={"tiers": tiers})
    other = bed.session()
    said = wrong.wait_reason("InvalidSpec")
    assert "news" in said["message"]
    assert wrong.true() == {"Stalled": "InvalidSpec"}
    assert_whole(other)
    version = wrong.raw()["metadata"]["resourceVersion"]
    written = len(wrong.versions())
    turns = _turns_at_rest(bed)
    asked = counted(bed.operator, "api_requests_total", resource=OURS)
    # A loop that backs off would have tried again by then, after 8 s at the latest.
    let_pass("fifteen seconds of peace", 15)
    assert counted(bed.operator, "reconciles_total") == turns
    assert counted(bed.operator, "api_requests_total", resource=OURS) == asked
    assert wrong.raw()["metadata"]["resourceVersion"] == version
    assert len(wrong.versions()) == written
    assert wrong.jobs() == {}
    assert wrong.reasons() == ["InvalidSpec"]
    wrong.patch(cascade=TWO_NODES)
    assert_whole(wrong)
    for one in (wrong, other):
        assert_no_orphans(bed.rest, one.namespace)
    bed.rest.delete(sessions_path(wrong.namespace, wrong.name))
