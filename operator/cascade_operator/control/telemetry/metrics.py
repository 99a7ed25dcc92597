"""What the operator counts and times; read at ``/metrics`` (62).

No label ever names a session, a namespace or anything else of which a cluster may have any number:
the number of time series is fixed by this file. Figures of single sessions stand in their status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cascade_operator.api.status import GroupPhase, Phase, TrainingSessionStatus
from cascade_operator.control.domain.model import Event
from cascade_operator.control.telemetry.run_figures import FINISHED, transition

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

NO_ANSWER: Final = 0
"""The code of a request that met no server: refused, cut, timed out."""

_PREFIX: Final = "cascade_operator"
_MOST_WORDS: Final = 64
_OTHER: Final = "Other"
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)

# A series more for each counter, of which no question asks: the process's start time is known.
disable_created_metrics()


class OperatorMetrics:
    """One operator's figures, in a registry of their own.

    Counters start at 0 with the process and count what this process did: after a failover the
    figures of both replicas add up.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reasons = _Words(_MOST_WORDS)
        self._resources = _Words(_MOST_WORDS)
        self._make_loop_metrics()
        self._make_api_metrics()
        self._make_run_metrics()

    def _make_loop_metrics(self) -> None:
        self._reconciles = self._counter("reconciles", "Turns of the loop, by outcome.", "result")
        self._reconcile_seconds = self._histogram("reconcile_seconds", "Time a turn took.", _QUICK)
        self._depth = self._gauge("queue_depth", "Sessions that wait for a turn.")
        self._oldest = self._gauge(
            "queue_oldest_seconds", "How long the first of them has been due; 0 where none waits."
        )
        self._wait_seconds = self._histogram(
            "queue_wait_seconds", "Time from when a session was due until its turn.", _WAITS
        )
        self._pruned = self._counter(
            "resync_pruned", "Objects a resync found gone whose deletion no watch told.", "kind"
        )
        self._leader = self._gauge("leader", "1 where this replica leads, 0 where it stands by.")

    def _make_api_metrics(self) -> None:
        self._requests = self._counter(
            "api_requests",
            "Requests to the API server; code 0 where no answer came.",
            *("verb", "resource", "code"),
        )
        self._request_seconds = self._histogram(
            "api_request_seconds", "Time they took.", _QUICK, "verb", "resource"
        )
        self._watched = self._counter("watch_events", "Events of watches.", "kind", "type")

    def _make_run_metrics(self) -> None:
        self._sessions = _ByPhase(f"{_PREFIX}_sessions", "Sessions, by phase.", list(Phase))
        self._groups = _ByPhase(
            f"{_PREFIX}_groups", "Node groups of current runs, by phase.", list(GroupPhase)
        )
        self.registry.register(self._sessions)
        self.registry.register(self._groups)
        self._finished = self._counter(
            "runs_finished", "Runs that ended: Complete, Failed or Replaced.", "phase"
        )
        # A series that begins at 1 has no increase: the first failed run would alarm nobody.
        for phase in FINISHED:
            self._finished.labels(phase)
        self._calls = self._counter("model_calls", "Model calls that a server answered.")
        self._tokens = self._counter("tokens", "Tokens sent and received.")
        self._hits = self._counter("cache_hits", "Model calls the shared cache answered.")
        self._oom_kills = self._counter("oom_kills", "Attempts that the kernel killed for memory.")
        self._escalations = self._counter(
            "memory_escalations", "Attempts that were given more memory than the last."
        )
        self._events = self._counter("events", "Events on sessions.", "reason")

    def observe_queue(
        self, depth: Callable[[], float], oldest_seconds: Callable[[], float]
    ) -> None:
        """Has the queue's two figures read whenever metrics are."""
        self._depth.set_function(depth)
        self._oldest.set_function(oldest_seconds)

    def observe_phases(
        self,
        sessions: Callable[[], Mapping[str, int]],
        groups: Callable[[], Mapping[str, int]],
    ) -> None:
        """Has the numbers of sessions and groups by phase read whenever metrics are."""
        self._sessions.count = sessions
        self._groups.count = groups

    def reconciled(self, result: str, seconds: float) -> None:
        """Records a turn of the loop; ``result`` is one of a few words of the loop's own."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def requested(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Records a request: ``get``, ``jobs``, an HTTP status or ``NO_ANSWER``."""
        known = self._resources.known(resource)
        self._requests.labels(verb, known, str(code)).inc()
        self._request_seconds.labels(verb, known).observe(seconds)

    def watched(self, kind: str, type: str | None) -> None:  # noqa: A002 - as in the event
        """Records a watch's event; one of the first list has no type."""
        self._watched.labels(kind, type or "LISTED").inc()

    def pruned(self, kind: str, number: int) -> None:
        """Records how many objects of a kind a resync found gone."""
        self._pruned.labels(kind).inc(number)

    def waited(self, seconds: float) -> None:
        """Records how long a session was due before its turn came."""
        self._wait_seconds.observe(seconds)

    def leads(self, leading: bool) -> None:
        """Records whether this replica leads."""
        self._leader.set(1 if leading else 0)

    def status_written(
        self,
        before: TrainingSessionStatus,
        after: TrainingSessionStatus,
        events: Sequence[Event],
    ) -> None:
        """Records what a status write says has happened since the one before it.

        To be called once for each write that succeeded. Such a write replaces exactly ``before``
        (its resourceVersion says so), so that nothing is counted twice, by no replica.

        Args:
            before: The status that was replaced.
            after: The status that was written.
            events: Those of the step.
        """
        step = transition(before, after, events)
        self._calls.inc(step.model_calls)
        self._tokens.inc(step.tokens)
        self._hits.inc(step.cache_hits)
        self._oom_kills.inc(step.oom_kills)
        self._escalations.inc(step.escalations)
        for phase in step.finished:
            self._finished.labels(phase).inc()
        for event in events:
            self._events.labels(self._reasons.known(event.reason)).inc()

    def render(self) -> bytes:
        """Returns everything in Prometheus' text format (``CONTENT_TYPE``)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=_PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, namespace=_PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            name, text, labels, namespace=_PREFIX, registry=self.registry, buckets=buckets
        )


class _Words:
    """The values of a label, of which there may be only so many; later ones are ``Other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def known(self, word: str) -> str:
        """Returns the word, or ``Other`` where there are enough."""
        if word not in self._seen:
            if len(self._seen) >= self._most:
                return _OTHER
            self._seen.add(word)
        return word


class _ByPhase(Collector):
    """A gauge by phase, counted when metrics are read; each phase stands there, also with 0."""

    def __init__(self, name: str, text: str, phases: Sequence[str]) -> None:
        self._name, self._text, self._phases = name, text, phases
        self.count: Callable[[], Mapping[str, int]] = dict

    def describe(self) -> list[GaugeMetricFamily]:
        """Returns the family without figures: registering it must not count."""
        return [GaugeMetricFamily(self._name, self._text, labels=["phase"])]

    def collect(self) -> list[GaugeMetricFamily]:
        """Counts."""
        family = GaugeMetricFamily(self._name, self._text, labels=["phase"])
        counts = self.count()
        for phase in self._phases:
            family.add_metric([str(phase)], counts.get(phase, 0))
        return [family]
