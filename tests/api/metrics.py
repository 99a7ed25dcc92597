"""What an operator counts, read as Prometheus would."""

from __future__ import annotations

import urllib.request
from collections.abc import Collection

from prometheus_client.parser import text_string_to_metric_families

from api.operator_process import OperatorProcess


def counted(operator: OperatorProcess, name: str, **labels: Collection[str]) -> float:
    """The sum of a counter over the series whose labels have one of the values given.

    Args:
        operator: Whose.
        name: Without the prefix, such as ``reconciles_total``.
        labels: Such as ``code=("500", "503")``.
    """
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"cascade_operator_{name}"
        and all(sample.labels.get(label) in values for label, values in labels.items())
    )
