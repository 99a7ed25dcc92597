"""`docs/reference/metrics.md`: what `/metrics` shows, from the registry itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from cascade_operator.control.telemetry.metrics import OperatorMetrics
from reference.markdown import code, header, prose, table

_INTRO: Final = """\
# Metrics

The operator serves these at `/metrics`, on port 8080 unless told otherwise. No label names a
session, so the number of series does not grow with them; the figures of one session stand in its
[status](api.md#status). A counter counts what its process did: sum it over the replicas.

"""
_OUTRO: Final = """
Label values come from small sets. `result` is how a turn of the loop ended; `verb`, `resource` and
`code` are those of requests to the API server; `reason` is a
[reason of an event](../troubleshooting.md#events); `phase` is that of a session, a group or an
ended run. At most 64 reasons and 64 resources are told apart, later ones are `Other`.

The [alerts](../alerts.md) are made of these metrics.
"""


@cache
def metrics_page() -> str:
    """Returns the page."""
    rows = [
        (code(name), kind, ", ".join(map(code, labels)), prose(text))
        for name, kind, labels, text in families()
    ]
    titles = ("metric", "type", "labels", "meaning")
    return header("control/telemetry") + _INTRO + table(titles, rows) + _OUTRO


def families() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yields name (as a query writes it), type, labels and meaning of each metric."""
    registry: Any = OperatorMetrics().registry
    # The registry has no public way to ask which labels a family has before it has a sample.
    for collector in registry._collector_to_names:
        for family in collector.describe():
            labels = getattr(collector, "_labelnames", None) or family_labels(collector)
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, tuple(labels), family.documentation


def family_labels(collector: Any) -> tuple[str, ...]:
    """The labels of a family that is made whole when it is read."""
    samples = [sample for family in collector.collect() for sample in family.samples]
    return tuple(dict.fromkeys(name for one in samples for name in one.labels if name != "le"))
