"""The errors that cross package borders: each carries an exit code and says what to do."""

from __future__ import annotations

from typing import ClassVar

from cascade_operator.api.exit_codes import ExitCode


class CascadeError(Exception):
    """A failure a user can act on.

    Attributes:
        exit_code: How a process that fails with it ends.
        mend: What to do about it; may be empty.
    """

    exit_code: ExitCode = ExitCode.SOFTWARE
    reason: ClassVar[str] = "Error"

    def __init__(self, message: str, *, mend: str = "", code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.mend = mend
        if code is not None:
            self.exit_code = code


class SpecError(CascadeError):
    """The session asks for something that cannot be: it is not tried again."""

    exit_code = ExitCode.SPEC
    reason = "InvalidSpec"


class DataError(CascadeError):
    """Traces or archives are unusable: they are not tried again."""

    exit_code = ExitCode.DATA
    reason = "InvalidData"


class RunDataGone(CascadeError):  # noqa: N818 - names what happened
    """The run's data is no longer in Redis; prepare can bring it back."""

    exit_code = ExitCode.RUN_DATA_GONE
    reason = "RunDataGone"


class ServiceUnavailable(CascadeError):  # noqa: N818 - the field's term
    """A server refuses, hangs or fails; trying again later may help."""

    exit_code = ExitCode.UNAVAILABLE
    reason = "ServiceUnavailable"


class ArchiveWriteError(CascadeError):
    """An archive could not be written: a full, read-only or missing volume."""

    exit_code = ExitCode.ARCHIVE_WRITE
    reason = "ArchiveWriteFailed"


class MemoryGateReached(CascadeError):  # noqa: N818 - an expected outcome, not a fault
    """Memory use passed the threshold: saved, and left before the kernel kills."""

    exit_code = ExitCode.MEMORY_GATE
    reason = "MemoryGate"


class Terminated(CascadeError):  # noqa: N818 - an expected outcome, not a fault
    """Told to stop; the checkpoint is saved."""

    exit_code = ExitCode.TERMINATED
    reason = "Terminated"
