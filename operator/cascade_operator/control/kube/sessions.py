"""Sessions as they are kept and as the planner sees them (80)."""

from __future__ import annotations

import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from cascade_operator.api.base import API_VERSION, KIND
from cascade_operator.api.problem import Problem
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import Phase, TrainingSessionStatus
from cascade_operator.api.validate import read_session
from cascade_operator.control.domain.model import SessionView
from cascade_operator.control.kube.fields import mapping, number, objects, text, version_of
from cascade_operator.control.kube.port import SessionKey
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION

_LOG = logging.getLogger(__name__)
_REMEMBERED: Final = 512
_MOST_PASSES: Final = 20
"""Over a status: what is left out may leave something missing in what held it."""
_PHASES: Final = frozenset(str(phase) for phase in Phase)

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What is kept of a session.

    Attributes:
        key: Where it is.
        uid: Its uid.
        version: Its resource version.
        generation: ``metadata.generation``.
        deleting: It has a deletion timestamp.
        retrain: The retrain annotation; empty where there is none.
        spec: ``spec`` as JSON: a tenth of what the objects would take.
        status: ``status`` as JSON.
        phase: ``status.phase``; empty before the first status.
        groups: How many of the run's groups are in each phase.
    """

    key: SessionKey
    uid: str
    version: int
    generation: int
    deleting: bool
    retrain: str
    spec: bytes
    status: bytes
    phase: str
    groups: Mapping[str, int]

    def raw_status(self) -> dict[str, Any]:
        """The status as the API server holds it."""
        found: dict[str, Any] = json.loads(self.status)
        return found


def summarise_session(raw: Mapping[str, Any]) -> SessionSummary:
    """Reads a session, whatever stands in it."""
    metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
    annotations = mapping(metadata.get("annotations"))
    phase = text(status.get("phase"), 32)
    return SessionSummary(
        key=SessionKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        version=version_of(metadata),
        generation=number(metadata.get("generation")) or 0,
        deleting="deletionTimestamp" in metadata,
        retrain=text(annotations.get(RETRAIN_ANNOTATION)),
        spec=_packed(raw.get("spec")),
        status=_packed(status),
        phase=phase if phase in _PHASES else "",
        groups=Counter(text(group.get("phase"), 32) for group in objects(status.get("groups"))),
    )


class SessionReader:
    """Parses summaries for the planner, and remembers what it parsed last."""

    def __init__(self) -> None:
        """Remembers nothing yet."""
        self._specs: _Recent[tuple[str, int], _Spec] = _Recent(_REMEMBERED)
        self._statuses: _Recent[tuple[str, int], TrainingSessionStatus] = _Recent(_REMEMBERED)

    def view(self, summary: SessionSummary) -> SessionView:
        """Shows a session to the planner."""
        key = (summary.uid, summary.generation)
        spec = self._specs.get(key)
        if spec is None:
            spec = self._specs.put(key, _read_spec(summary))
        return SessionView(
            name=summary.key.name,
            namespace=summary.key.namespace,
            uid=summary.uid,
            generation=summary.generation,
            spec=spec.spec,
            problems=spec.problems,
            status=self._status(summary),
            annotations={RETRAIN_ANNOTATION: summary.retrain} if summary.retrain else {},
            resource_version=str(summary.version),
            deleting=summary.deleting,
        )

    def written(self, summary: SessionSummary, status: TrainingSessionStatus) -> None:
        """Remembers the status that was just written, so that it is not parsed again."""
        self._statuses.put((summary.uid, summary.version), status)

    def _status(self, summary: SessionSummary) -> TrainingSessionStatus:
        key = (summary.uid, summary.version)
        found = self._statuses.get(key)
        return found or self._statuses.put(key, read_status(summary.raw_status()))


def read_status(raw: Mapping[str, Any]) -> TrainingSessionStatus:
    """Reads a status; what cannot be read is left out, and no more than that: the rest counts."""
    held = dict(raw)
    for _ in range(_MOST_PASSES):
        try:
            return TrainingSessionStatus.model_validate_json(json.dumps(held))
        except ValidationError as error:
            # An item that is left out moves those that follow it: the last ones first.
            wrong = sorted({_part_at(one) for one in error.errors()}, key=_order, reverse=True)
            _LOG.warning("status fields that cannot be read are left out: %s", wrong[:10])
            if () in wrong:
                break
            for place in wrong:
                _leave_out(held, place)
    return TrainingSessionStatus()


def _part_at(error: Any) -> tuple[str | int, ...]:
    """The place of what an error concerns; where something is missing, of what it is missing in."""
    place: tuple[str | int, ...] = tuple(error["loc"])
    return place[:-1] if error["type"] == "missing" else place


def _order(place: tuple[str | int, ...]) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in place]


def _leave_out(held: Any, place: tuple[str | int, ...]) -> None:
    """Takes out what stands at a place, or the last thing on the way to it that is there."""
    for step, deeper in zip(place, [*place[1:], None], strict=True):
        try:
            found = held[step]
        except (LookupError, TypeError):
            return
        if deeper is None or not isinstance(found, dict | list):
            del held[step]
            return
        held = found


@dataclass(frozen=True, slots=True)
class _Spec:
    spec: TrainingSessionSpec | None
    problems: tuple[Problem, ...]


def _read_spec(summary: SessionSummary) -> _Spec:
    # Of the metadata only the name is ours to judge: the API server has admitted the rest.
    held = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": summary.key.name, "namespace": summary.key.namespace},
        "spec": json.loads(summary.spec),
    }
    session, problems = read_session(held)
    return _Spec(session.spec if session is not None else None, tuple(problems))


def _packed(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Recent(Generic[_K, _V]):
    """A small map that forgets what was not asked for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: _K, value: _V) -> _V:
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return value
