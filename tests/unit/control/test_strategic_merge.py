"""Merging a user's overrides into our pod."""

import copy

import pytest

from cascade_operator.control.manifests.strategic_merge import strategic_merge


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="new key"),
        pytest.param({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}, id="nested map"),
        pytest.param({"a": 1, "b": 2}, {"a": None}, {"b": 2}, id="null deletes"),
        pytest.param({}, {"a": {"b": None}}, {"a": {}}, id="null in a new map is dropped"),
        pytest.param(
            {"containers": [{"name": "worker", "image": "x"}]},
            {"containers": [{"name": "worker", "tty": True}, {"name": "proxy"}]},
            {"containers": [{"name": "worker", "image": "x", "tty": True}, {"name": "proxy"}]},
            id="containers by name",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]},
            id="env by name, order kept",
        ),
        pytest.param(
            {"volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}]},
            {"volumeMounts": [{"mountPath": "/tmp", "name": "fast"}]},
            {"volumeMounts": [{"mountPath": "/tmp", "name": "fast"}]},
            id="mounts by path",
        ),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="other lists replace",
        ),
        pytest.param(
            {"containers": [{"name": "worker"}]},
            {"containers": [{"image": "nameless"}]},
            {"containers": [{"name": "worker"}, {"image": "nameless"}]},
            id="an entry without its key is appended",
        ),
        pytest.param({"a": {"b": 1}}, {"a": "text"}, {"a": "text"}, id="a scalar replaces a map"),
        pytest.param({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="a map replaces a scalar"),
    ],
)
def test_strategic_merge(base, patch, expected):
    before = copy.deepcopy((base, patch))
    assert strategic_merge(base, patch) == expected
    assert (base, patch) == before


def test_a_new_entry_given_twice_merges_with_itself():
    patch = {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    assert strategic_merge({"env": []}, patch) == {"env": [{"name": "A", "value": "2"}]}
