"""Every stage is logged with its code, counted and timed, also when it fails."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from cascade_operator.monitoring import stage_log
from cascade_operator.monitoring.stage_log import (
    StageMetrics,
    log_stage,
    log_stage_figures,
    run_stage,
)


@pytest.fixture
def metrics(monkeypatch):
    fresh = StageMetrics()
    monkeypatch.setattr(stage_log, "STAGE_METRICS", fresh)
    return fresh


def test_a_stage_says_when_it_begins_and_ends(metrics, caplog):
    with caplog.at_level(logging.INFO), run_stage(44, nodes=3):
        pass
    begun, ended = [record.getMessage() for record in caplog.records]
    assert begun == "44 candidates started (nodes=3)"
    assert ended.startswith("44 candidates done after 0.0")
    assert [record.stage for record in caplog.records] == [44, 44]
    assert caplog.records[0].fields == {"nodes": 3}
    assert caplog.records[1].seconds >= 0


def test_a_stage_that_fails_says_so_and_is_counted(metrics, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(KeyError), run_stage(44):
        raise KeyError
    with run_stage(44):
        pass
    with run_stage(11):
        pass
    assert "44 candidates left early after" in caplog.text
    figures = metrics.snapshot()
    assert list(figures) == [11, 44]
    assert (figures[44].runs, figures[44].failures) == (2, 1)
    assert figures[44].seconds >= 0


def test_a_stage_of_every_batch_is_quiet(metrics, caplog):
    with caplog.at_level(logging.INFO), run_stage(43, level=logging.DEBUG):
        pass
    assert not caplog.records
    assert metrics.snapshot()[43].runs == 1


def test_an_unknown_stage_is_a_mistake_of_ours():
    with pytest.raises(KeyError), run_stage(98765):
        pass


def test_counts_of_several_threads_add_up():
    metrics = StageMetrics()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(400):
            pool.submit(metrics.add, 43, 0.5, failed=True)
    figures = metrics.snapshot()[43]
    assert (figures.runs, figures.failures, figures.seconds) == (400, 400, 200.0)


def test_a_line_and_the_last_line_carry_their_codes(metrics, caplog):
    metrics.add(44, 1.5, failed=False)
    metrics.add(1, 0.25, failed=False)
    with caplog.at_level(logging.INFO):
        log_stage(18, "3 records", kept=3)
        log_stage_figures()
    line, last = caplog.records
    assert (line.getMessage(), line.stage, line.fields) == (
        "18 validate-traces: 3 records",
        18,
        {"kept": 3},
    )
    assert last.getMessage().endswith(": 01 1x 0.25 s, 44 1x 1.50 s")
