"""Sessions whose workers are real: the tickets example against a model server of the test's."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from api.custom_resource import sessions_path
from api.recorder import Recorder
from api.rest import ApiError, wait_for
from api.session_bed import Session, brief
from cluster.bed import ClusterBed
from cluster.network import ADDRESS
from fakes.model_server import FakeModelServer
from fakes.ticket_runs import EXAMPLES, ticket_answers, ticket_session

TRACES: Final = "traces"
ARCHIVES: Final = "cascade-archives"
THREE_GROUPS: Final = {"include": [["classify"], ["decide"], ["classify", "decide"]]}
"""``00``, ``02`` and ``00_02``."""

_CASCADE: Final = Path(sys.executable).with_name("cascade")
_SCORED: Final = re.compile(r"trial (\d+) \w+ scored")


def prepare_namespace(bed: ClusterBed, name: str = "") -> str:
    """A restricted namespace with claims for traces and archives, the traces in place."""
    namespace = bed.namespace(name)
    bed.claim(namespace, ARCHIVES)
    bed.claim(namespace, TRACES)
    folder = bed.storage.path(namespace, TRACES)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tickets.jsonl").write_bytes((EXAMPLES / "tickets.jsonl").read_bytes())
    (folder / "tickets.jsonl").chmod(0o644)
    return namespace


def serve_models() -> FakeModelServer:
    """A server that answers the tickets' questions, and that pods reach."""
    return FakeModelServer(ticket_answers(), host=ADDRESS)


def ticket_session_on(bed: ClusterBed, namespace: str, models: str, **spec: Any) -> Session:
    """Applies the tickets session; ``spec`` replaces parts of it."""
    return create_session(bed, namespace, ticket_document(models, **spec))


def ticket_document(models: str, **spec: Any) -> dict[str, Any]:
    """The tickets session with its traces on a claim; ``spec`` replaces parts of it."""
    document = ticket_session(models)
    document["spec"].pop("groups")
    document["spec"]["traces"] = {
        **{k: v for k, v in document["spec"]["traces"].items() if k != "file"},
        "persistentVolumeClaim": {"claimName": TRACES, "path": "tickets.jsonl"},
    }
    document["spec"] |= copy.deepcopy(spec)
    return document


def create_session(bed: ClusterBed, namespace: str, document: Mapping[str, Any]) -> Session:
    """Creates a session from its document."""
    created = bed.rest.create(sessions_path(namespace), dict(document))
    return _session(bed, created)


def wait_session(bed: ClusterBed, namespace: str, name: str) -> Session:
    """Waits for a session that somebody else creates."""
    found = wait_for(f"session {name}", lambda: bed.rest.get(sessions_path(namespace, name)))
    return _session(bed, found)


def _session(bed: ClusterBed, raw: Mapping[str, Any]) -> Session:
    metadata = raw["metadata"]
    return Session(bed.rest, metadata["namespace"], metadata["name"], metadata["uid"], Recorder())


def wait_end(bed: ClusterBed, session: Session, *, seconds: float = 600) -> dict[str, Any]:
    """Waits until a session has ended, well or not; returns its status.

    Raises:
        AssertionError: It did not; with the ends of its pods' logs.
    """
    ended = ("Complete", "Failed")
    try:
        return session.wait("it ends", lambda s: s.get("phase") in ended, seconds=seconds)
    except AssertionError as error:
        logs = [
            f"--- {name} {pod['status'].get('phase')}\n{log_of(bed, session, name)[-1500:]}"
            for name, pod in session.pods().items()
        ]
        raise AssertionError("\n".join([str(error), *logs])) from None


def succeeded(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The groups of a run that ended well, by name; fails where it did not."""
    assert status["phase"] == "Complete", brief(status)
    assert all(group["phase"] == "Succeeded" for group in status["groups"]), brief(status)
    return {group["name"]: group for group in status["groups"]}


def trials_of(bed: ClusterBed, session: Session, pod: str) -> list[int]:
    """The trials that a pod has scored."""
    return [int(number) for number in _SCORED.findall(log_of(bed, session, pod))]


def wait_trials(bed: ClusterBed, session: Session, group: str, count: int) -> tuple[str, list[int]]:
    """Waits until a group's pod has scored some trials; returns its name and them."""

    def look() -> tuple[str, list[int]] | None:
        for pod in session.running(group):
            trials = trials_of(bed, session, pod["metadata"]["name"])
            if len(trials) >= count:
                return pod["metadata"]["name"], trials
        return None

    return wait_for(f"group {group} has scored {count} trials", look, seconds=240)


def archive_files(bed: ClusterBed, namespace: str) -> list[Path]:
    """What lies on the claim of a namespace's archives, by size."""
    return sorted(bed.storage.path(namespace, ARCHIVES).rglob("*_size*.tar.*"))


def assert_verified(files: Sequence[Path]) -> None:
    """``cascade archive verify`` accepts the archives."""
    done = subprocess.run(
        [str(_CASCADE), "archive", "verify", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sizes_of(files: Sequence[Path]) -> list[str]:
    """The group sizes that archives are of, as their names tell."""
    return [file.name.split("_size")[1][:2] for file in files]


def log_of(bed: ClusterBed, session: Session, pod: str) -> str:
    """A pod's log, or why there is none."""
    try:
        return bed.log(session.namespace, pod)
    except (ApiError, OSError) as error:
        return str(error)
