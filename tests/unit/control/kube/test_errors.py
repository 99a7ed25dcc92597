"""What an answer means: each kind of error asks for something else."""

import json

import pytest

from cascade_operator.control.kube.errors import (
    AlreadyExistsError,
    BusyError,
    GoneError,
    UnauthorizedError,
    error_of,
)
from cascade_operator.control.kube.port import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
)


def status(reason, message="so it is"):
    return json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        pytest.param(400, "BadRequest", RefusedError, id="bad request"),
        pytest.param(401, "Unauthorized", UnauthorizedError, id="unauthorized"),
        pytest.param(403, "Forbidden", RefusedError, id="forbidden"),
        pytest.param(404, "NotFound", NotFoundError, id="not found"),
        pytest.param(408, "Timeout", ClusterError, id="timeout"),
        pytest.param(409, "AlreadyExists", AlreadyExistsError, id="already exists"),
        pytest.param(409, "Conflict", ConflictError, id="conflict"),
        pytest.param(410, "Expired", GoneError, id="too old"),
        pytest.param(413, "RequestEntityTooLarge", RefusedError, id="too large"),
        pytest.param(422, "Invalid", RefusedError, id="invalid"),
        pytest.param(429, "TooManyRequests", BusyError, id="too many"),
        pytest.param(500, "InternalError", ClusterError, id="server"),
        pytest.param(503, "ServiceUnavailable", BusyError, id="unavailable"),
        pytest.param(504, "Timeout", ClusterError, id="gateway"),
    ],
)
def test_each_status_is_of_a_kind(code, reason, kind):
    error = error_of(code, status(reason), None, 0.0)
    assert type(error) is kind
    assert str(error) == "so it is"
    assert getattr(error, "reason", reason) == reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("86400", 60.0, id="a day is too long"),
        pytest.param("nonsense", None, id="nonsense"),
        pytest.param(None, None, id="none"),
    ],
)
def test_retry_after_is_read(header, seconds):
    assert error_of(429, b"", header, 0.0).retry_after == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff\xfe", b'{"message": 3}'])
def test_a_body_that_is_no_status_still_says_something(body):
    assert str(error_of(500, body, None, 0.0))


def test_words_are_bounded():
    assert len(str(error_of(422, status("Invalid", "x" * 10**6), None, 0.0))) == 1000
