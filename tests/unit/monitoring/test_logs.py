"""The two forms of a log: lines for people, JSON for collectors."""

from __future__ import annotations

import json
import logging

import pytest

from cascade_operator.monitoring.logs import configure_logging
from cascade_operator.monitoring.stage_log import log_stage


@pytest.fixture(autouse=True)
def root_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_collector_gets_one_object_a_line(capsys):
    configure_logging(as_json=True)
    log_stage(18, "3 records\nand a new line", kept=3, odd=object())
    logging.getLogger("x").warning("half a \ud800 character %s", "ö")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    stage, odd, failed = lines
    assert stage["message"] == "18 validate-traces: 3 records\nand a new line"
    assert (stage["level"], stage["stage"], stage["fields"]["kept"]) == ("info", 18, 3)
    assert stage["time"].endswith("+00:00")
    assert odd["message"].endswith("ö")
    assert "stage" not in odd
    assert "ValueError: bad" in failed["exception"]


def test_people_get_text(capsys):
    configure_logging(as_json=False)
    log_stage(18, "3 records")
    assert capsys.readouterr().err.endswith(" I 18 validate-traces: 3 records\n")


def test_chatty_libraries_are_quiet(capsys):
    configure_logging(as_json=False)
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("httpx").warning("closed")
    said = capsys.readouterr()
    assert "HTTP Request" not in said.err
    assert "closed" in said.err
    assert said.out == ""


def test_configuring_twice_does_not_double_the_lines(capsys):
    configure_logging(as_json=False)
    configure_logging(as_json=False)
    log_stage(18, "once")
    assert capsys.readouterr().err.count("once") == 1
