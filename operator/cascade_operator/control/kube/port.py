"""The cluster as the loop sees it: what an adapter of a real or a local one implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import Event, Observed, SessionView
from cascade_operator.control.manifests.published import PublishRequest

ChildKind = Literal["Job", "ConfigMap"]


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Where a session is; what a work queue holds."""

    namespace: str
    name: str


class ClusterError(Exception):
    """A request to the cluster failed; the loop's queue tries the session again later."""


class ConflictError(ClusterError):
    """The session was written by someone else since it was observed."""


class NotFoundError(ClusterError):
    """The session is gone."""


class NameConflictError(ClusterError):
    """An object of the name exists and belongs to something else."""


class RefusedError(ClusterError):
    """The cluster will not have the object as it is (invalid, forbidden, over a quota).

    Attributes:
        reason: The API server's reason, e.g. ``Forbidden``.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterPort(Protocol):
    """One cluster.

    Every method may raise ``ClusterError``; those named below are told apart by the loop.
    """

    async def observe(self, key: SessionKey) -> Observed | None:
        """Reads a session and its children; None where the session is gone."""
        ...

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Creates a child; one of its name that has the same owner uid is fine.

        Raises:
            NameConflictError: The name belongs to something else, or its holder is being deleted.
            RefusedError: The API server refused the manifest.
        """
        ...

    async def delete(self, kind: ChildKind, session: SessionView, name: str) -> None:
        """Deletes a session's child, and the pod of a Job; one that is gone is fine."""
        ...

    async def publish(self, request: PublishRequest) -> None:
        """Publishes a program, and remembers in memory what came of it.

        Reads ``RunKeys(uid, run).program()`` from the operator's own Redis, makes the ConfigMap
        with ``build_published``, then creates it; or replaces one that is there with its
        ``resourceVersion``, unless ``may_replace`` says why not, or ``is_published`` that it holds
        this already. ``observe`` shows the session's last outcome as ``Observed.publication``:

        - ``PUBLISHED``: written, or found as it should be;
        - ``CONFLICT``: with the words of ``may_replace``;
        - ``UNAVAILABLE``: Redis has no such key or does not answer, the bytes are not the program,
          or the API server refused the ConfigMap; with what to do.

        Doing it twice does no harm.
        """
        ...

    async def write_status(self, session: SessionView, status: TrainingSessionStatus) -> None:
        """Replaces the session's status as it was observed.

        Raises:
            ConflictError: ``session.resource_version`` is no longer the newest.
            NotFoundError: The session is gone.
        """
        ...

    async def emit(self, session: SessionView, event: Event) -> None:
        """Records an event on the session."""
        ...
