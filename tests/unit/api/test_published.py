"""Bytes out of Redis are a program only where the archive Job's digest and their form say so."""

import json

import pytest

from cascade_operator.api.published import MAX_PUBLISHED_BYTES, check_program, program_digest

PART = {"demos": [], "signature": {"instructions": "Say it."}, "lm": None}
PROGRAM = {"plan": PART, "b_x.predict": PART, "metadata": {"dependency_versions": {}}}


def check(data, **changes):
    told = {"sha256": program_digest(data), "size": len(data), **changes}
    return check_program(data, **told)


def test_a_program_gives_its_instructions():
    found = check(json.dumps(PROGRAM).encode())
    assert list(found.items()) == [("plan", "Say it."), ("b_x.predict", "Say it.")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff{}", id="not UTF-8"),
        pytest.param(b'{"a":NaN}', id="not a number"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"plan":1}', id="a part that is none"),
        pytest.param(b'{"plan":{"demos":[],"signature":{}}}', id="no instructions"),
        pytest.param(b'{"plan":{"signature":{"instructions":"x"}}}', id="no demonstrations"),
        pytest.param(json.dumps({str(i): PART for i in range(65)}).encode(), id="too many"),
        pytest.param(b" " * (MAX_PUBLISHED_BYTES + 1), id="too large"),
    ],
)
def test_what_is_no_program_is_refused(data):
    with pytest.raises(ValueError, match=r"it |its "):
        check(data)


@pytest.mark.parametrize("told", [{"sha256": "0" * 64}, {"size": 3}])
def test_another_digest_or_size_is_refused(told):
    with pytest.raises(ValueError, match="told"):
        check(json.dumps(PROGRAM).encode(), **told)
