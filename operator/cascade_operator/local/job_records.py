"""What is known of each Job, kept on disk, so that an outcome survives the command that saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cascade_operator.api.records import decode_message
from cascade_operator.control.domain.model import JobState, JobView
from cascade_operator.local.orphans import ProcessIdentity
from cascade_operator.local.state import write_atomically

# The kubelet's own bound of a termination message.
_MESSAGE_BYTES: Final = 4096
_RECORD_BYTES: Final = 64 * 1024


class JobRecord(BaseModel):
    """One Job of a session.

    Attributes:
        name: The Job's name.
        labels: The Job's labels.
        memory_limit: Bytes; 0 where there is none.
        process: Its process while it runs.
        started: When it was started.
        finished: When it ended; None while it runs.
        exit_code: Of the worker, once it has ended; 128 plus the number for a signal.
        reason: As a pod's status would say: Completed, Error, OOMKilled, DeadlineExceeded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(max_length=253)
    labels: Mapping[str, str]
    memory_limit: int
    process: ProcessIdentity | None
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def state(self) -> JobState:
        """The Job's state as a cluster would give it."""
        if self.finished is None:
            return JobState.RUNNING
        return JobState.SUCCEEDED if self.exit_code == 0 else JobState.FAILED


@dataclass(frozen=True, slots=True)
class JobRecords:
    """The records of one session's Jobs.

    Attributes:
        folder: Where they lie: ``<job>.json``, and ``<job>.message`` as the worker wrote it.
    """

    folder: Path

    def load(self) -> dict[str, JobRecord]:
        """Reads all records by the Job's name; a broken file is no record."""
        found = {}
        for file in sorted(self.folder.glob("*.json")):
            try:
                with file.open("rb") as stream:
                    record = JobRecord.model_validate_json(stream.read(_RECORD_BYTES))
            except (OSError, ValidationError):
                continue
            found[record.name] = record
        return found

    def save(self, record: JobRecord) -> None:
        """Writes one record."""
        write_atomically(self.folder / f"{record.name}.json", record.model_dump_json(indent=1))

    def remove(self, name: str) -> None:
        """Forgets a Job; one that is not known is fine."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        (self.folder / f"{name}.message").unlink(missing_ok=True)

    def view(self, record: JobRecord, *, deleting: bool = False) -> JobView:
        """Shows a Job to the planner, with its termination message once it has ended."""
        view = JobView(
            name=record.name,
            labels=dict(record.labels),
            state=JobState.DELETING if deleting else record.state,
            started=record.started,
            finished=record.finished,
            exit_code=record.exit_code,
            reason=record.reason,
            memory_limit=record.memory_limit,
        )
        if record.finished is None:
            return view
        try:
            with (self.folder / f"{record.name}.message").open("rb") as stream:
                text = stream.read(_MESSAGE_BYTES)
        except OSError:
            return view
        return replace(view, message=decode_message(text))
