"""Publishing on a real API server: the program goes from Redis into a ConfigMap."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from api.control_plane import ControlPlane
from api.custom_resource import sessions_path
from api.invariants import assert_whole
from api.rest import ApiError, wait_for
from api.session_bed import Session, SessionBed, serving
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import ArchiveResult, encode_message
from cascade_operator.api.status import ProgramStatus
from cascade_operator.control.manifests.labels import SESSION_UID
from fakes.cluster import PROGRAM
from fakes.valkey import start_valkey

BEST = "00_01"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The operator's own Redis."""
    with tempfile.TemporaryDirectory(prefix="vk") as folder, start_valkey(Path(folder)) as socket:
        yield f"unix://{socket}"


@pytest.fixture(scope="module")
def bed(
    control_plane: ControlPlane, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SessionBed]:
    """An operator with a Redis."""
    flags = ("--no-leader-election", f"--redis-url={server}")
    with serving(control_plane, tmp_path_factory.mktemp("publish"), *flags) as made:
        yield made


def publishing(bed: SessionBed, namespace: str, least: float = 0.0) -> Session:
    """A session whose last archive Job says that it left the best program in Redis."""
    digest = hashlib.sha256(PROGRAM).hexdigest()
    program = ProgramStatus(group=BEST, sha256=digest, bytes=len(PROGRAM))
    groups = ["00", "01", BEST]
    said = encode_message(ArchiveResult(final=True, groups=groups, program=program))
    return bed.session(
        namespace,
        play={"message.archive": said},
        publish={"configMap": "prompts", "minImprovement": least},
    )


def config_map(bed: SessionBed, namespace: str) -> dict[str, object] | None:
    try:
        return bed.rest.get(f"/api/v1/namespaces/{namespace}/configmaps/prompts")
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def leave_program(server: str, session: Session) -> None:
    """Does what the archive Job's worker would."""
    with redis.Redis.from_url(server) as client:
        client.set(RunKeys(session.uid, 1).program(), PROGRAM)


def test_the_best_program_is_published_and_outlives_its_session(bed: SessionBed, server: str):
    namespace = bed.namespace()
    session = publishing(bed, namespace)
    leave_program(server, session)
    status = assert_whole(session)
    assert status["best"]["group"] == BEST
    session.wait("it is published", lambda s: s.get("published", {}).get("reason") == "Published")
    found = config_map(bed, namespace)
    assert found is not None
    assert found["data"]["program.json"].encode() == PROGRAM
    assert found["metadata"]["labels"][SESSION_UID] == session.uid
    assert "ownerReferences" not in found["metadata"]
    assert session.reasons().count("Published") == 1
    bed.rest.delete(sessions_path(namespace, session.name))
    wait_for("its Jobs are gone", lambda: not session.jobs())
    assert config_map(bed, namespace)["data"] == found["data"]


def test_a_config_map_of_somebody_else_stays_as_it_is(bed: SessionBed, server: str):
    namespace = bed.namespace()
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prompts"}}
    bed.rest.create(f"/api/v1/namespaces/{namespace}/configmaps", {**theirs, "data": {"a": "b"}})
    session = publishing(bed, namespace)
    leave_program(server, session)
    assert_whole(session)
    status = session.wait(
        "the conflict is said", lambda s: s.get("published", {}).get("reason") == "PublishConflict"
    )
    assert SESSION_UID in status["published"]["message"]
    assert config_map(bed, namespace)["data"] == {"a": "b"}


def test_an_improvement_that_is_too_small_is_not_published(bed: SessionBed, server: str):
    namespace = bed.namespace()
    session = publishing(bed, namespace, least=0.9)
    leave_program(server, session)
    assert_whole(session)
    status = session.wait(
        "it is skipped", lambda s: s.get("published", {}).get("reason") == "PublishSkipped"
    )
    assert "minImprovement" in status["published"]["message"]
    assert config_map(bed, namespace) is None
