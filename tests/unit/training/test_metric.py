from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.training.metric import ObjectiveMetric, make_metric
from fakes.records import stored

CALL = {
    "call": {
        "name": "f",
        "arguments": {"n": {"anyOf": [1, "one"]}, "m": {"anyOf": ["", 2], "optional": True}},
    }
}
FIELDS = make_metric("JSONFields")
EXACT = make_metric("ExactMatch")


def score(metric: ObjectiveMetric, validated: Any, output: Any) -> float:
    return metric.score(stored(1, validated=validated), output)


def call(**arguments: Any) -> dict[str, Any]:
    return {"call": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("output", "fields", "exact"),
    [
        pytest.param(call(n=1), 1.0, 1.0, id="optional left out"),
        pytest.param(call(n=1.0), 1.0, 1.0, id="1 equals 1.0"),
        pytest.param(call(n="one", m=2), 1.0, 1.0, id="other accepted value"),
        pytest.param(call(n=True), 2 / 3, 0.0, id="true is not 1"),
        pytest.param(call(n="1"), 2 / 3, 0.0, id="text is not a number"),
        pytest.param(call(n=1, m=3), 2 / 3, 0.0, id="optional but wrong"),
        pytest.param(call(n=1, extra=0), 1.0, 0.0, id="something added"),
        pytest.param(call(), 2 / 3, 0.0, id="required left out"),
        pytest.param({"call": "f"}, 1 / 3, 0.0, id="not an object: only the optional leaf is met"),
        pytest.param({}, 1 / 3, 0.0, id="nothing"),
        pytest.param(call(n=1) | {"brief": "x"}, 1.0, 1.0, id="other nodes' fields do not count"),
    ],
)
def test_leaves_and_exact_match(output: dict, fields: float, exact: float) -> None:
    assert score(FIELDS, CALL, output) == pytest.approx(fields)
    assert score(EXACT, CALL, output) == exact


def test_scope_group_compares_with_the_recorded_output_of_the_last_node_as_it_is() -> None:
    schema = {"brief": {"anyOf": [{"type": "string"}], "title": "no template"}}
    record = stored(1, outputs={"plan": schema})
    metric = make_metric("JSONFields", group_last_node="plan")
    assert metric.score(record, schema | {"call": "ignored"}) == 1.0
    assert (
        metric.score(record, {"brief": {"anyOf": [{"type": "x"}], "title": "no template"}}) == 0.5
    )
    assert make_metric("ExactMatch", group_last_node="plan").score(record, schema) == 1.0


class Embedder:
    """Counts letters: equal texts have equal vectors."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([[text.count(c) for c in "abxy"] for text in texts], dtype=np.float32)


def test_cosine_of_equal_texts_is_exactly_1_without_embedding() -> None:
    embed = Embedder()
    metric = make_metric("Cosine", embed=embed)
    assert score(metric, {"a": {"anyOf": ["x", "y"]}}, {"a": "y"}) == 1.0
    assert embed.asked == []


def test_cosine_embeds_each_text_once() -> None:
    embed = Embedder()
    metric = make_metric("Cosine", embed=embed)
    records = [stored(n, validated={"k": "a"}) for n in range(3)]
    first = metric.score_batch(records, [{"k": "b"}, {"k": "ab"}, {"k": "b"}])
    assert first == [0.0, pytest.approx(0.707107), 0.0]
    assert metric.score_batch(records, [{"k": "b"}, {"k": "ab"}, {"k": "b"}]) == first
    assert embed.asked == [['{"k":"a"}', '{"k":"b"}', '{"k":"ab"}']]


def test_cosine_is_never_negative_nor_above_1() -> None:
    metric = make_metric("Cosine", embed=lambda texts: np.array([[1, -2], [-1, 2]], np.float32))
    assert score(metric, {"k": "a"}, {"k": "b"}) == 0.0


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=3), min_size=1),
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=3)),
)
def test_every_score_lies_in_0_to_1(validated: dict, output: dict) -> None:
    for metric in (FIELDS, EXACT, make_metric("Cosine", embed=Embedder())):
        assert 0.0 <= score(metric, validated, output) <= 1.0


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("image_metrics")
    monkeypatch.setitem(sys.modules, "image_metrics", module)
    return module


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0), (np.float32(0.5), 0.5)],
)
def test_custom_returns_a_bool_or_a_number(image, value: Any, expected: float) -> None:
    image.judge = lambda expected, output: value
    assert score(make_metric("Custom", function="image_metrics:judge"), {"k": 1}, {}) == expected


def test_custom_gets_plain_expected_values_and_the_output(image) -> None:
    seen: list[Any] = []
    image.judge = lambda expected, output: seen.append((expected, output)) or 1.0
    metric = make_metric("Custom", function="image_metrics:judge")
    score(metric, {"k": {"anyOf": [1, 2]}}, {"k": 2, "other": 0})
    assert seen == [({"k": 2}, {"k": 2})]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, None, "1", [1]])
def test_custom_that_returns_anything_else_is_named_with_its_value(image, value: Any) -> None:
    image.judge = lambda expected, output: value
    with pytest.raises(DataError) as error:
        score(make_metric("Custom", function="image_metrics:judge"), {"k": 1}, {})
    assert str(value) in str(error.value)
    assert "r1" in str(error.value)


def test_custom_that_raises_is_an_error_of_the_run_not_a_score_of_0(image) -> None:
    def judge(expected, output):
        raise KeyError("call")

    image.judge = judge
    with pytest.raises(DataError, match="KeyError"):
        score(make_metric("Custom", function="image_metrics:judge"), {"k": 1}, {})


@pytest.mark.parametrize(
    "function",
    [
        "no_such_package_here:judge",
        "image_metrics:missing",
        "json:__doc__",
        "os; evil",
        "json",
        "a:b:c",
    ],
)
def test_a_custom_function_that_cannot_be_loaded_is_a_bad_spec(image, function: str) -> None:
    with pytest.raises(SpecError):
        make_metric("Custom", function=function)


def test_an_unknown_metric_is_a_bad_spec() -> None:
    with pytest.raises(SpecError):
        make_metric("Best")
