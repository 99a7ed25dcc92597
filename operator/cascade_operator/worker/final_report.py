"""Stage 66: the final archive Job leaves the run's report beside its archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cascade_operator.archive.catalog import report_path
from cascade_operator.archive.model import RunArchive
from cascade_operator.archive.writer import ArchiveFile
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.worker.context import JobContext

NEEDED_BYTES: Final = 160 << 20
"""Memory that drawing may take on top of the Job's: measured with 63 groups, doubled."""


def slim(run: RunArchive) -> RunArchive:
    """Returns a run without what no report shows; the matrices are most of it."""
    return replace(run, io_matrices={}, reducer_npz=None)


def write_final_report(context: JobContext, run: RunArchive, files: Sequence[ArchiveFile]) -> None:
    """Writes the report where there is memory for it; a failure to do so is never the Job's.

    Args:
        context: The Job's context.
        run: What was archived.
        files: The archives.
    """
    reading = context.memory.sample()
    free = reading.limit * context.config.spec.memory.threshold_percent / 100 - reading.working_set
    if free < NEEDED_BYTES:
        log_stage(66, f"no report: {free / 2**20:.0f} MiB are left below the memory gate")
        return
    # A pod's home is read-only; without a folder of its own the library would warn and look on.
    os.environ.setdefault("MPLCONFIGDIR", str(context.scratch / "matplotlib"))
    path = context.archives / report_path(run.namespace, run.session, run.session_id)
    try:
        with run_stage(66, file=path.name):
            size = _write(run, files, path)
            log_stage(66, f"{size} bytes")
    except Exception as error:  # noqa: BLE001 - the archives stand; `cascade report` can try again
        log_stage(66, f"no report: {type(error).__name__}: {error}")


def _write(run: RunArchive, files: Sequence[ArchiveFile], path: Path) -> int:
    # The plotting library loads only here: most archive Jobs write no report.
    from cascade_operator.report.build import RunSources  # noqa: PLC0415
    from cascade_operator.report.model import ArchiveView  # noqa: PLC0415
    from cascade_operator.report.write import write_report  # noqa: PLC0415

    sources = RunSources(
        namespace=run.namespace,
        session=run.session,
        session_id=run.session_id,
        archive=replace(run, sizes=tuple(file.group_size for file in files)),
        archives=tuple(
            ArchiveView(Path(file.path).name, file.group_size, file.bytes, file.sha256)
            for file in files
        ),
    )
    return write_report(sources, path)
