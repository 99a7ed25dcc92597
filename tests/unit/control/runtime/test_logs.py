"""Log lines: one JSON object each, with the session where it is known, and without secrets."""

import json
import logging
import sys

import pytest

from cascade_operator.control.kube.port import SessionKey
from cascade_operator.control.runtime.logs import JsonFormatter, TextFormatter, hide_secrets


def rendered(message="said", exc_info=None, **extra):
    record = logging.LogRecord("some.logger", logging.WARNING, "f", 1, message, (), exc_info)
    for name, value in extra.items():
        setattr(record, name, value)
    return json.loads(JsonFormatter().format(record))


@pytest.mark.parametrize(
    ("extra", "session"),
    [
        pytest.param({"fields": {"session": "ml/one"}}, "ml/one", id="as a field"),
        pytest.param({"session": SessionKey("ml", "one")}, "ml/one", id="as a key"),
        pytest.param(
            {"k8s_ref": {"kind": "TrainingSession", "namespace": "ml", "name": "one"}},
            "ml/one",
            id="from kopf",
        ),
        pytest.param({"k8s_ref": {"kind": "Job", "namespace": "ml", "name": "j"}}, None, id="job"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_session(extra, session):
    assert rendered(**extra).get("session") == session


def test_a_line_has_time_level_logger_stage_and_message():
    line = rendered(stage=87)
    assert line["time"].endswith("+00:00")
    assert (line["level"], line["logger"]) == ("warning", "some.logger")
    assert (line["stage"], line["message"]) == (87, "said")


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("redis://:hunter2@redis:6379/0 is away", "redis:6379/0 is away", id="redis"),
        pytest.param("https://me:hunter2@host/x", "host/x", id="https"),
        pytest.param(f"Authorization: Bearer {TOKEN}", "Authorization", id="bearer"),
        pytest.param(f"got {TOKEN} there", "there", id="a token alone"),
        pytest.param("password=hunter2, user=me", "user=me", id="a password"),
        pytest.param('{"apiKey": "hunter2"}', "apiKey", id="a key in JSON"),
    ],
)
def test_secrets_are_hidden_in_messages_fields_and_exceptions(text, kept):
    assert kept in hide_secrets(text)
    try:
        raise ValueError(text)
    except ValueError:
        info = sys.exc_info()
    line = rendered(text, exc_info=info, fields={"deep": [{"er": text}]})
    assert "ValueError" in line["exception"]
    record = logging.LogRecord("x", logging.INFO, "f", 1, text, (), info)
    for written in (json.dumps(line), TextFormatter().format(record)):
        assert "hunter2" not in written
        assert TOKEN not in written


def test_words_about_secrets_stay():
    text = "the Secret cascade-redis has no key password"
    assert hide_secrets(text) == text
