"""The final archive Job's report: written where there is memory for it, and never its failure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_operator.archive.model import NodeMatrices
from cascade_operator.archive.writer import ArchiveFile
from cascade_operator.resources.cgroup import MemoryReading
from cascade_operator.resources.gate import MemoryGate
from cascade_operator.worker.final_report import NEEDED_BYTES, slim, write_final_report
from fakes.report_runs import SESSION_ID, archive
from fakes.worker_jobs import job_context

FILES = [ArchiveFile(1, f"team-a/support/{SESSION_ID}_size01.tar.zst", "ab" * 32, 4096)]


@pytest.fixture
def context(tmp_path, valkey_socket):
    def context(limit=4 << 30, used=100 << 20):
        gate = MemoryGate(None, 80, lambda: MemoryReading(used, limit, "test", limited=True))
        return replace(job_context(tmp_path, valkey_socket), memory=gate)

    return context


@pytest.fixture
def page(tmp_path):
    return tmp_path / "archives" / "team-a" / "support" / f"{SESSION_ID}_report.html"


def test_it_lies_beside_the_archives(context, page):
    write_final_report(context(), archive(2), FILES)
    text = page.read_text()
    assert FILES[0].sha256 in text
    assert "Complete" in text


@pytest.mark.parametrize(("more", "written"), [(0, True), (-(1 << 20), False)])
def test_it_needs_room_below_the_gate(context, page, caplog, more, written):
    used = 100 << 20
    limit = int((used + NEEDED_BYTES + more) / 0.8) + 2
    caplog.set_level("INFO")
    write_final_report(context(limit, used), archive(1), FILES)
    assert page.exists() is written
    assert ("no report: 159 MiB are left" in caplog.text) is not written


def test_a_failure_is_logged_and_no_more(context, page, caplog):
    page.parent.parent.mkdir(parents=True)
    page.parent.write_text("in the way")
    caplog.set_level("INFO")
    write_final_report(context(), archive(1), FILES)
    assert "no report: ReportWriteError: " in caplog.text


def test_what_no_report_shows_is_let_go_first():
    empty = np.zeros((0, 4), np.float16)
    run = replace(
        archive(1),
        io_matrices={"a": NodeMatrices((), empty, empty, empty, empty)},
        reducer_npz=b"x",
    )
    assert (slim(run).io_matrices, slim(run).reducer_npz) == ({}, None)
    assert slim(run).groups is run.groups
