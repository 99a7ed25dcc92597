"""Puts a report's page into a file, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cascade_operator.api.errors import CascadeError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.report.build import RunSources, build_report
from cascade_operator.report.page import render_report


class ReportWriteError(CascadeError):
    """The volume refuses the report."""

    exit_code = ExitCode.ARCHIVE_WRITE
    reason = "ReportWriteFailed"


def write_report(sources: RunSources, path: Path) -> int:
    """Writes the report of a run; returns its bytes.

    Args:
        sources: What is at hand of the run.
        path: The file; its folder is made where it is missing.

    Raises:
        ReportWriteError: It cannot be written; nothing half-written is left.
    """
    page = render_report(build_report(sources)).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(page)
            partial.chmod(0o644)  # a temporary file is its maker's alone
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ReportWriteError(
            f"the report {path} cannot be written: {error.strerror}",
            mend="free space there, or name another file: --output FILE",
        ) from error
    return len(page)
