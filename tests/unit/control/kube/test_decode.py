"""JSON from an API server: quick, and as deep as the API server takes it."""

import json

import pytest

from cascade_operator.control.kube.decode import read_json
from cascade_operator.control.kube.depth import deep_objects


def test_an_object_is_read():
    found = {"a": [1, 2.5, None, True, "\u00e4\u2028"], "": {}}
    assert read_json(json.dumps(found).encode()) == found


def test_what_is_nested_deeper_than_the_quick_reader_goes_is_read_too():
    with deep_objects():
        found = read_json(b'{"a":' * 5000 + b"1" + b"}" * 5000)
    depth = 0
    while isinstance(found, dict):
        found, depth = found["a"], depth + 1
    assert (found, depth) == (1, 5000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"a": 1}{', id="more"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
    ],
)
def test_what_is_no_json_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - either reader's own
        read_json(data)


def test_a_number_that_no_machine_holds_is_no_error():
    assert read_json(b'{"a": 1234567890123456789012345678901234567890}')["a"] > 1e39
