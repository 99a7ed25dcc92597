"""What a Job is told: its configuration, its folders, Redis, and the limits it keeps to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from cascade_operator.api.errors import ServiceUnavailable, SpecError
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import CallFigures
from cascade_operator.api.redis_mends import redis_mend
from cascade_operator.api.run import RunConfig
from cascade_operator.api.status import SpentStatus
from cascade_operator.monitoring.progress import ProgressPublisher
from cascade_operator.monitoring.timeline import JobTimeline
from cascade_operator.resources.gate import MemoryGate
from cascade_operator.resources.processes import choose_reader
from cascade_operator.traces.redis_packer import ViewPacker
from cascade_operator.worker.stop import StopSignal

CONFIG_LIMIT = 1 << 20
MAX_PASSWORD = 4096
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 60.0
FIRST_ANSWER_SECONDS = 10.0
RESTARTS: Final = Retry(
    ExponentialBackoff(cap=1.0, base=0.05), 8, supported_errors=(redis.ConnectionError,)
)
"""Rides out a server that is started again: some five seconds. One that hangs is not asked again:
a command that timed out has waited long enough."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """Everything a Job's steps share.

    Attributes:
        config: The run as the planner fixed it.
        redis: The run's Redis, connected.
        keys: The names of this run's keys.
        traces: Folder of the traces' volume.
        traces_file: A trace file named outright (one machine only).
        archives: Folder of the archives' volume.
        scratch: Folder for temporary files.
        termination_log: Where the final message goes.
        memory: The memory gate.
        stop: Set when the process was told to leave.
        attempt: The Job's attempt, from 1.
    """

    config: RunConfig
    redis: redis.Redis
    keys: RunKeys
    traces: Path
    traces_file: Path | None
    archives: Path
    scratch: Path
    termination_log: Path
    memory: MemoryGate
    stop: StopSignal
    attempt: int = 1

    def check(self) -> None:
        """Asked between steps: returns while work may go on.

        Raises:
            Terminated: The process was told to stop.
            MemoryGateReached: The container is near its memory limit.
        """
        self.stop.check()
        self.memory.check()

    def memory_figures(self) -> tuple[int, int]:
        """Returns the working set and its limit, in bytes."""
        reading = self.memory.sample()
        return reading.working_set, reading.limit

    def publisher(
        self,
        name: str,
        *,
        calls: Callable[[], CallFigures] = CallFigures,
        spent: Callable[[], SpentStatus | None] = lambda: None,
    ) -> ProgressPublisher:
        """Returns what publishes this Job's figures and keeps its timeline.

        Args:
            name: ``prepare``, ``archive`` or a group's key.
            calls: Gives the call figures so far.
            spent: Gives the run's budget counters; None where they cannot be read.
        """
        return ProgressPublisher(
            self.redis,
            self.keys.progress(name),
            name,
            calls=calls,
            memory=self.memory_figures,
            spent=spent,
            timeline=JobTimeline(name, self.attempt),
            timeline_key=self.keys.timeline(),
        )


def read_context(env: Mapping[str, str], stop: StopSignal) -> JobContext:
    """Builds the context from the environment that the Job's manifest sets.

    Raises:
        SpecError: The configuration is missing or invalid.
        ServiceUnavailable: Redis does not answer.
    """
    path = Path(env.get("CASCADE_CONFIG", "/etc/cascade/01_architecture_config.json"))
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_LIMIT + 1)
    except OSError as error:
        raise SpecError(
            f"the run's configuration {path} cannot be read: {error.strerror}",
            mend="a worker is started by the operator or by `cascade run`, which mount it; "
            "set CASCADE_CONFIG to run one by hand",
        ) from error
    config = RunConfig.from_json(text)
    limit = env.get("CASCADE_MEMORY_LIMIT", "")
    named_file = env.get("CASCADE_TRACES_FILE", "")
    return JobContext(
        config=config,
        redis=connect(env),
        keys=RunKeys(config.uid, config.run),
        traces=Path(env.get("CASCADE_TRACES", "/mnt/validated_traces")),
        traces_file=Path(named_file) if named_file else None,
        archives=Path(env.get("CASCADE_ARCHIVES", "/mnt/archives")),
        scratch=Path(env.get("CASCADE_SCRATCH", "/tmp")),  # noqa: S108 - the pod's emptyDir
        termination_log=Path(env.get("CASCADE_TERMINATION_LOG", "/dev/termination-log")),
        memory=MemoryGate(
            int(limit) if limit else None,
            config.spec.memory.threshold_percent,
            choose_reader(os.getpid(), int(limit) if limit else None),
        ),
        stop=stop,
    )


def connect(env: Mapping[str, str]) -> redis.Redis:
    """Connects to the run's Redis.

    Raises:
        ServiceUnavailable: It does not answer, or refuses the password.
    """
    url = env.get("CASCADE_REDIS_URL", "redis://127.0.0.1:6379")
    password_file = env.get("CASCADE_REDIS_PASSWORD_FILE", "")
    password = _password(Path(password_file)) if password_file else None
    try:
        with redis.Redis.from_url(
            url,
            password=password or None,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=FIRST_ANSWER_SECONDS,
        ) as first:
            first.ping()
        client: redis.Redis = redis.Redis.from_url(
            url,
            password=password or None,
            decode_responses=False,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=COMMAND_SECONDS,
            retry=RESTARTS,
            command_packer=ViewPacker(),
        )
    except ValueError as error:
        raise SpecError(
            f"{_without_password(url)} is no address of a Redis: {error}",
            mend="write spec.redis.url as redis://host:port, rediss://host:port or unix:///path",
        ) from error
    except redis.RedisError as error:
        raise ServiceUnavailable(
            f"Redis at {_without_password(url)} does not answer: {error}",
            mend=redis_mend(error),
        ) from error
    return client


def eviction_note(client: redis.Redis) -> str:
    """Returns what to tell of a Redis that may drop a run's data; empty where it keeps it.

    With ``volatile-ttl`` the shared cache, which lives shortest, goes first; ``noeviction`` refuses
    writes, which a checkpoint reports. Any other policy may drop traces or checkpoints unasked.
    """
    try:
        found: Mapping[str, object] = client.info("memory")
    except redis.RedisError:
        return ""  # a managed Redis may not say
    policy = str(found.get("maxmemory_policy", ""))
    if not found.get("maxmemory") or policy in ("", "volatile-ttl", "noeviction"):
        return ""
    return (
        f"Redis may drop this run's data when it is full (maxmemory-policy {policy}): "
        "set it to volatile-ttl"
    )


def _password(path: Path) -> str | None:
    """The Secret is optional: without it there is no file, and Redis may ask for none."""
    try:
        with path.open("r", encoding="utf-8") as file:
            return file.read(MAX_PASSWORD).strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"the Redis password {path} cannot be read: {error}",
            mend="check the Secret that spec.redis.passwordSecretRef names",
        ) from error


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.split('//', 1)[0]}//***@{tail}" if at else url


def environment() -> Mapping[str, str]:
    """Returns this process's environment."""
    return os.environ
