"""The worker processes of one tickets run, started one by one without a planner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import TerminationMessage, decode_message
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSession
from cascade_operator.archive.catalog import SessionFolder, find_run, list_runs
from cascade_operator.archive.model import RunArchive, combine
from cascade_operator.archive.reader import read_archive
from cascade_operator.training.checkpoint import RedisCheckpoints
from cascade_operator.worker import main as worker_main
from cascade_operator.worker.context import read_context
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.stop import StopSignal
from fakes.ticket_runs import NAME, ticket_rows, ticket_session, write_session

WORKER = (sys.executable, "-m", "cascade_operator.worker.main")
SESSION_ID = "20260101T000000Z"
KEYS = ("00", "02", "00_02")


@dataclass(frozen=True)
class WorkerEnded:
    """How a worker ended: its exit status, what it printed, its last message, how long a stop took.

    Attributes:
        code: Exit status; negative for a signal.
        text: Both streams.
        message: Its termination message, where it left one.
        seconds: From the signal to its end; 0 without a signal.
    """

    code: int
    text: str
    message: TerminationMessage | None
    seconds: float = 0.0


@dataclass
class TicketWorkers:
    """One run's folders and Redis.

    Attributes:
        folder: Holds configuration, traces, volumes and logs.
        client: Redis, as the workers see it.
        url: Its URL.
        config: The run.
    """

    folder: Path
    client: redis.Redis
    url: str
    config: RunConfig
    environment: dict[str, str] = field(default_factory=dict)
    started: int = 0

    @classmethod
    def at(
        cls, folder: Path, socket: str, model_url: str, *, reduction: str = "PCA", **spec: Any
    ) -> TicketWorkers:
        """Writes a run's configuration and traces; ``spec`` replaces parts of the session's."""
        document = ticket_session(model_url, groups={"sizes": [1, 2]}, **spec)
        document["spec"]["models"]["reduction"] = {"method": reduction}
        write_session(folder, document, ticket_rows())
        session = TrainingSession.model_validate(document)
        config = RunConfig(
            namespace="default",
            name=NAME,
            uid="u-1",
            run=1,
            session_id=SESSION_ID,
            spec_hash="v1-0",
            spec=resolve(session.spec, Defaults()),
            groups=list(KEYS),
        )
        for name in ("archives", "scratch"):
            (folder / name).mkdir()
        (folder / "config.json").write_text(config.to_json())
        client = redis.Redis(unix_socket_path=socket)
        return cls(folder, client, f"unix://{socket}", config)

    @property
    def keys(self) -> RunKeys:
        return RunKeys(self.config.uid, self.config.run)

    def of_run(self, number: int, session_id: str) -> TicketWorkers:
        """The same session's next run, in the same folders."""
        config = self.config.model_copy(update={"run": number, "session_id": session_id})
        (self.folder / "config.json").write_text(config.to_json())
        return TicketWorkers(self.folder, self.client, self.url, config, self.environment)

    def env(self, **more: str) -> dict[str, str]:
        """The environment a Job's manifest sets."""
        return {
            **os.environ,
            "CASCADE_LOG": "text",
            "CASCADE_CONFIG": str(self.folder / "config.json"),
            "CASCADE_REDIS_URL": self.url,
            "CASCADE_TRACES_FILE": str(self.folder / "tickets.jsonl"),
            "CASCADE_ARCHIVES": str(self.folder / "archives"),
            "CASCADE_SCRATCH": str(self.folder / "scratch"),
            "CASCADE_TERMINATION_LOG": str(self.folder / "termination-log"),
            **self.environment,
            **more,
        }

    @contextlib.contextmanager
    def start(self, *arguments: str, **env: str) -> Iterator[StartedWorker]:
        """Starts a worker; whatever is left of it at the block's end is killed."""
        self.started += 1
        log = self.folder / f"worker-{self.started}.log"
        message = self.folder / "termination-log"
        message.unlink(missing_ok=True)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*WORKER, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=self.env(**env),
                start_new_session=True,
            )
        try:
            yield StartedWorker(process, log, message)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, *arguments: str, **env: str) -> WorkerEnded:
        """Runs a worker to its end."""
        with self.start(*arguments, **env) as worker:
            return worker.end()

    def inside(self, *arguments: str, **env: str) -> TerminationMessage:
        """Runs a worker's Job in this process, which is quicker; its errors are raised."""
        job = worker_main.job_of(arguments)
        return job(read_context(self.env(**env), StopSignal()))

    def train(self) -> None:
        """Trains all groups in this process, small ones first."""
        for key in KEYS:
            self.inside(*group_arguments(key))

    def trials(self, key: str) -> list[Any]:
        """The trials in a group's checkpoint."""
        state = RedisCheckpoints(self.client, self.keys.checkpoint(key)).load()
        return state["trials"] if state else []

    def outcome(self, key: str) -> dict[str, Any] | None:
        """What a group found, without the figures that depend on the machine."""
        found = RunData(self.client, self.keys).outcome(key)
        return None if found is None else found[0].to_json()

    def archive(self) -> RunArchive:
        """What the run's archives hold."""
        runs = list_runs(self.folder / "archives", SessionFolder("default", NAME))
        run = find_run(runs, self.config.session_id)
        assert run is not None
        return combine([read_archive(file.path) for file in run.files])

    def archive_files(self) -> list[Path]:
        """What lies on the archives' volume, partial files among it; without the report."""
        files = (p for p in (self.folder / "archives" / "default").rglob("*") if p.is_file())
        return sorted(p for p in files if not p.name.endswith("_report.html"))

    def dump(self) -> dict[bytes, bytes]:
        """All keys of the server, to be put back by ``load``."""
        found = {key: self.client.dump(key) for key in self.client.scan_iter(count=1000)}
        return {key: value for key, value in found.items() if value is not None}

    def load(self, dump: Mapping[bytes, bytes]) -> None:
        """Puts the server's keys back as they were."""
        self.client.flushall()
        pipeline = self.client.pipeline()
        for key, value in dump.items():
            pipeline.restore(key, 14 * 24 * 3600 * 1000, value)
        pipeline.execute()


FINAL = ("archive", "--kind", "final", "--groups", ",".join(KEYS))


def group_arguments(key: str) -> list[str]:
    """The arguments of a group's Job."""
    parents = key.split("_") if "_" in key else []
    return ["group", "--group", key, *(["--lattice-parents", ",".join(parents)] if parents else [])]


class StartedWorker:
    """A worker under way."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, message: Path) -> None:
        self._process = process
        self._log = log
        self._message = message

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def children(self, words: str) -> list[psutil.Process]:
        """The processes it has started whose command line holds these words."""
        found = []
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if words in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Waits for something it has to bring about."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, f"it ended before that:\n{self.text}"
            assert time.monotonic() < deadline, f"it did not come true in time:\n{self.text}"
            time.sleep(0.01)

    def end(self, seconds: float = 90.0) -> WorkerEnded:
        """Waits for its end."""
        self._process.wait(seconds)
        return self._ended(0.0)

    def stop(self, *numbers: signal.Signals) -> WorkerEnded:
        """Tells it to stop and waits for its end; SIGTERM where no signal is named."""
        began = time.monotonic()
        for number in numbers or (signal.SIGTERM,):
            self._process.send_signal(number)
        self._process.wait(30)
        return self._ended(time.monotonic() - began)

    def kill(self) -> None:
        """Ends it as the kernel would."""
        self._process.kill()
        self._process.wait()

    def _ended(self, seconds: float) -> WorkerEnded:
        raw = self._message.read_bytes() if self._message.exists() else b""
        return WorkerEnded(self._process.returncode, self.text, decode_message(raw), seconds)


def shown(requests: Sequence[Any]) -> list[str]:
    """Chat requests as text, in the order of their arrival."""
    return [str(request.body) for request in requests if "chat" in request.path]
