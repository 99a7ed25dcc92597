"""One session as an API server would hold it: identity, generation, annotations and status."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from cascade_operator.api.errors import SpecError
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import SessionView
from cascade_operator.control.kube.port import ConflictError
from cascade_operator.local.state import StateFolder, write_atomically

DEFAULT_NAMESPACE: Final = "default"
_MAX_BYTES: Final = 4 * 1024**2


@dataclass(slots=True)
class StoredSession:
    """The session a local cluster serves.

    Attributes:
        state: The state folder.
        session: The session as its user wrote it.
        uid: What tells it from a namesake; made when the state folder first sees it.
        generation: Counts the changes of its spec.
        annotations: The user's, and what this command adds.
        status: As last written.
        version: Counts the writes of the status by this command.
    """

    state: StateFolder
    session: TrainingSession
    uid: str
    generation: int
    annotations: Mapping[str, str]
    status: TrainingSessionStatus
    version: int = field(default=0)

    @classmethod
    def open(cls, state: StateFolder, session: TrainingSession) -> StoredSession:
        """Takes a session as ``kubectl apply`` would: new, unchanged or changed.

        Raises:
            SpecError: What the state folder holds of it cannot be read.
        """
        name = session.metadata.name
        spec = session.spec.model_dump(mode="json", by_alias=True)
        held = _read_yaml(state, name, "session.yaml")
        metadata = held.get("metadata", {})
        uid = str(metadata.get("uid", ""))
        if not uid:
            # What lies here without an identity is a namesake's: its Jobs are not this one's.
            shutil.rmtree(state.session(name))
            uid = str(uuid.uuid4())
        generation = int(metadata.get("generation", 0))
        if held.get("spec") != spec:
            generation += 1
        stored = cls(
            state,
            session,
            uid,
            generation,
            dict(session.metadata.annotations or {}),
            _read_status(state, name),
        )
        document = {
            "metadata": {
                "name": name,
                "namespace": stored.namespace,
                "uid": uid,
                "generation": generation,
            },
            "spec": spec,
        }
        write_atomically(state.session_file(name), _to_yaml(document))
        return stored

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.session.metadata.name

    @property
    def namespace(self) -> str:
        """``metadata.namespace``, as kubectl would fill it in."""
        return self.session.metadata.namespace or DEFAULT_NAMESPACE

    def view(self) -> SessionView:
        """Shows the session to the planner."""
        return SessionView(
            name=self.name,
            namespace=self.namespace,
            uid=self.uid,
            generation=self.generation,
            spec=self.session.spec,
            problems=(),
            status=self.status,
            annotations=dict(self.annotations),
            resource_version=str(self.version),
        )

    def write_status(self, observed: SessionView, status: TrainingSessionStatus) -> None:
        """Replaces the status, also on disk.

        Raises:
            ConflictError: The view is not of the newest status.
        """
        if observed.resource_version != str(self.version):
            raise ConflictError(f"the status of {self.name} was written since it was read")
        content = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        write_atomically(self.state.status_file(self.name), _to_yaml(content))
        self.status = status
        self.version += 1


def _read_status(state: StateFolder, name: str) -> TrainingSessionStatus:
    held = _read_yaml(state, name, "status.yaml")
    try:
        # Through JSON, as from an API server: the models take no other form of a time.
        return TrainingSessionStatus.model_validate_json(json.dumps(held, default=str))
    except ValueError as error:
        raise SpecError(
            f"{state.status_file(name)} is not a status this version can read",
            mend="move the file away; the next run then starts from the archives",
        ) from error


def _read_yaml(state: StateFolder, name: str, file: str) -> dict[str, Any]:
    path = state.session(name) / file
    try:
        with path.open("rb") as stream:
            content = yaml.safe_load(stream.read(_MAX_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"{path} cannot be read: {error}", mend="move the file away") from error
    return content if isinstance(content, dict) else {}


def _to_yaml(content: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    return text
