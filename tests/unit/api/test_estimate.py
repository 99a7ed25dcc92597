"""The estimate as a document, and how far it was off in words."""

from __future__ import annotations

import json

import pytest

from cascade_operator.api.estimate import (
    CountRange,
    GroupEstimate,
    RunEstimate,
    compared,
    read_estimate,
)

ESTIMATE = RunEstimate(
    model_calls=CountRange(likely=150, at_most=206),
    groups={"00": GroupEstimate(model_calls=CountRange(likely=30, at_most=40))},
    seconds=12.5,
)


def test_a_document_comes_back_as_it_was() -> None:
    document = ESTIMATE.dump()
    assert document["version"] == 1
    assert document["modelCalls"] == {"likely": 150, "atMost": 206}
    assert read_estimate(json.dumps(document).encode()) == ESTIMATE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="none"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"version": 2}', id="another version"),
        pytest.param(b'{"modelCalls": {"likely": -1}}', id="a negative count"),
        pytest.param(b'{"seconds": NaN}', id="no number"),
        pytest.param(b"{" * 5000, id="deep"),
        pytest.param(b'{"x": "' + b"y" * (1 << 20) + b'"}', id="too large"),
    ],
)
def test_what_is_no_estimate_is_none(data: bytes | None) -> None:
    assert read_estimate(data) is None


@pytest.mark.parametrize(
    ("estimated", "actual", "text"),
    [
        (150, 153, "estimated 150 model calls, took 153 (+2 %)"),
        (150, 120, "estimated 150 model calls, took 120 (-20 %)"),
        (7, 7, "estimated 7 model calls, took 7 (exact)"),
        (0, 3, "estimated 0 model calls, took 3 (none expected)"),
    ],
)
def test_how_far_off(estimated: int, actual: int, text: str) -> None:
    assert compared(estimated, actual) == text
