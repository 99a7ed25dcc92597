"""Whole runs of the tickets example against the fake model server, and what they left."""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cascade_operator.archive.catalog import SessionFolder, find_run, list_runs
from cascade_operator.archive.model import RunArchive, combine
from cascade_operator.archive.reader import read_archive
from fakes.model_answers import answers_of_trace

EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = "tickets"
GROUPS = (["classify"], ["decide"], ["classify", "decide"], ["classify", "extract", "decide"])
KEYS = ("00", "02", "00_02", "00_01_02")


def ticket_rows() -> list[dict[str, Any]]:
    """The example's traces."""
    lines = (EXAMPLES / "tickets.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def ticket_answers(*more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer key of the example's traces, and of other ones."""
    rows = [*ticket_rows(), *(row for rows in more for row in rows)]
    return [answers_of_trace(row) for row in rows]


def ticket_session(url: str, **spec: Any) -> dict[str, Any]:
    """The example's session on a server, smaller; ``spec`` replaces parts of its spec."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "custom-cascade.yaml").read_text())
    document["spec"] |= {
        "models": {
            "task": {
                "provider": "OpenAI",
                "model": "fake",
                "endpoint": url,
                "maxTokens": 256,
                "timeout": "20s",
            },
            "embedding": {"endpoint": url, "timeout": "20s"},
            "reduction": {"method": "PCA"},
        },
        "groups": {"include": [list(group) for group in GROUPS]},
        "optimizer": {"candidates": 4, "trials": 8},
    }
    document["spec"] |= copy.deepcopy(spec)
    return document


def write_session(
    folder: Path, document: dict[str, Any], rows: list[dict[str, Any]] | None = None
) -> Path:
    """Writes a session and its traces into a folder; returns the session's file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in (ticket_rows() if rows is None else rows)]
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    file = folder / "session.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


@dataclass(frozen=True)
class TicketRun:
    """The state folder of a session, as files show it."""

    state: Path

    @property
    def status(self) -> dict[str, Any]:
        file = self.state / "sessions" / NAME / "status.yaml"
        return yaml.safe_load(file.read_text()) if file.exists() else {}

    @property
    def session_id(self) -> str:
        return self.status["run"]["sessionId"]

    def group(self, key: str) -> dict[str, Any]:
        """A group's status; empty while it has none."""
        groups = self.status.get("groups", [])
        return next((group for group in groups if group["name"] == key), {})

    def prepared(self) -> bool:
        return self.status.get("run", {}).get("prepare", {}).get("phase") == "Succeeded"

    def pid(self, job: str) -> int:
        """The process of a Job that runs."""
        record = json.loads((self.state / "sessions" / NAME / "jobs" / f"{job}.json").read_text())
        return record["process"]["pid"]

    def message(self, job: str) -> dict[str, Any]:
        """What a Job said at its end."""
        return json.loads((self.state / "sessions" / NAME / "jobs" / f"{job}.message").read_text())

    def logs(self) -> dict[str, str]:
        """The logs of the run, by Job."""
        folder = self.state / "runs" / self.session_id / "logs"
        return {file.stem: file.read_text() for file in folder.glob("*.log")}

    def trials(self, job: str) -> int:
        """Trials a Job has logged; each of them stands in its checkpoint by then."""
        status = self.status
        if "run" not in status:
            return 0
        file = self.state / "runs" / status["run"]["sessionId"] / "logs" / f"{job}.log"
        text = file.read_text() if file.exists() else ""
        return len(re.findall(r"trial \d+ \w+ scored", text))

    def archive_files(self, session_id: str = "") -> list[Path]:
        folder = self.state / "volumes/cascade-archives/default" / NAME
        return sorted(folder.glob(f"{session_id or self.session_id}_size*.tar.*"))

    def archive(self, session_id: str = "") -> RunArchive:
        """What the archives of a run hold, of the last one by default."""
        runs = list_runs(self.state / "volumes/cascade-archives", SessionFolder("default", NAME))
        run = find_run(runs, session_id or self.session_id)
        assert run is not None
        return combine([read_archive(file.path) for file in run.files])

    def copied_to(self, folder: Path) -> TicketRun:
        """A copy to go on from; no command is using this one."""
        shutil.copytree(self.state, folder, ignore=lambda at, names: _sockets(Path(at), names))
        return TicketRun(folder)


def findings(run: RunArchive) -> dict[str, Any]:
    """What a run found, without what depends on time and place: memory, calls, the uid."""
    return {
        "split": run.split,
        "candidates": json.loads(run.candidates_json),
        "groups": {
            key: {
                "trials": group.trials,
                "checkpoint": json.loads(group.checkpoint_json),
                "posterior": group.posterior.tolist(),
                "program": json.loads(group.program_json or b"null"),
                "outcome": group.result.get("outcome"),
            }
            for key, group in run.groups.items()
        },
    }


def _sockets(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if (folder / name).is_socket()]
