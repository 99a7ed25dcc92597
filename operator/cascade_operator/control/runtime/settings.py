"""Everything an operator is started with: one class, filled from flags and environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import SpecError
from cascade_operator.api.models_spec import Provider
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.scalars import (
    ENDPOINT_PATTERN,
    IMAGE_PATTERN,
    LABEL_PATTERN,
    REDIS_PATTERN,
    SUBDOMAIN_PATTERN,
)
from cascade_operator.control.runtime.flags import (
    ENVIRONMENT_PREFIX,
    LogFormat,
    LogLevel,
    variable_of,
)

_IN_POD: Final = "KUBERNETES_SERVICE_HOST"
_SECRET_IN_URL: Final = re.compile(r"//[^/@]*@")
_NAME_MOST: Final = 63


class SettingsError(SpecError):
    """A flag or variable has a value that cannot be used."""

    reason = "InvalidSettings"


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """How two replicas agree on who works."""

    enabled: bool = True
    """Whether to take the Lease before working. Safe also for one replica: an old pod that a dead
    node still runs is kept out. Without it the service account needs no rule for Leases."""

    name: str = "cascade-operator"
    """The Lease's name. Operators that serve different namespaces need different ones."""

    namespace: str = ""
    """Where the Lease is; empty: the pod's own namespace, or that of the kubeconfig's context."""

    duration_seconds: float = 15.0
    """How long others wait after a renewal they saw. It bounds the failover after a crash; under
    about 10 s a busy API server would cost leadership for nothing."""

    renew_seconds: float = 10.0
    """After how long without a renewal the leader ends. Less than ``duration_seconds``: the
    difference is its time to stop, and the margin for clocks of different speed."""

    retry_seconds: float = 2.0
    """How often the leader renews; who stands by looks twice as often, so that a Lease that was
    given up is taken within about a second."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one operator is started with.

    Raises:
        SettingsError: A value cannot be used; it names the flag, the value and what would do.
    """

    namespaces: tuple[str, ...] = ()
    """The namespaces to serve; none: the whole cluster, which takes a ClusterRole."""

    kubeconfig: Path | None = None
    """A kubeconfig; None: the pod's service account, else KUBECONFIG, else ``~/.kube/config``."""

    context: str = ""
    """A context of the kubeconfig; empty: its current one."""

    workers: int = 16
    """Sessions reconciled at the same time. Their work is mostly waiting for the API server; more
    than its connections (32) would only queue there."""

    resync_seconds: float = 300.0
    """Seconds between two full lists, which find what a watch did not tell. They cost the API
    server one list of each kind; five minutes bound how long a missed deletion goes unseen."""

    figures_seconds: float = 30.0
    """Seconds between two looks at the live figures of running sessions. Each session whose figures
    have changed then costs one write of its status; transitions are written at once."""

    lease: LeaseSettings = field(default_factory=LeaseSettings)
    """Leadership."""

    address: str = ""
    """Where probes and metrics listen; empty: everywhere in a pod, else this machine only."""

    health_port: int = 8081
    """Port of ``/healthz`` and ``/readyz``; 0 takes any free one and logs it."""

    metrics_port: int = 8080
    """Port of ``/metrics``; the same as ``health_port``: one server for all three."""

    log_level: LogLevel = LogLevel.INFO
    """Debug adds kopf's own words and is for looking into one operator, not for every day."""

    log_format: LogFormat = LogFormat.AUTO
    """JSON for collectors, text for eyes."""

    redis_password: str = field(default="", repr=False)
    """Of the default Redis, to read live figures. Only from the environment: flags can be read in
    a list of processes. Workers take theirs from a Secret of their own namespace."""

    exit_seconds: float = 25.0
    """How long an end may take after SIGTERM. Less than the pod's grace period (30 s), after which
    the kubelet would kill it with the Lease still held."""

    defaults: Defaults = field(default_factory=Defaults)
    """What sessions fall back to: the workers' image, Redis, model and embedding servers."""

    def __post_init__(self) -> None:
        """Checks every value."""
        for name in self.namespaces:
            _matches("--namespace", name, LABEL_PATTERN, "the name of one namespace, such as ml")
            _require(len(name) <= _NAME_MOST, "--namespace", name, "at most 63 characters")
        _within("--workers", self.workers, 1, 256)
        _within("--resync", self.resync_seconds, 10, 86400)
        _within("--figures-interval", self.figures_seconds, 1, 3600)
        _within("--exit-timeout", self.exit_seconds, 1, 3600)
        for flag, port in (
            ("--health-port", self.health_port),
            ("--metrics-port", self.metrics_port),
        ):
            _within(flag, port, 0, 65535)
        self._check_lease()
        self._check_defaults()

    def _check_lease(self) -> None:
        lease = self.lease
        _matches("--lease-name", lease.name, SUBDOMAIN_PATTERN, "a name such as cascade-operator")
        if lease.namespace:
            _matches("--lease-namespace", lease.namespace, LABEL_PATTERN, "a namespace's name")
        _within("--lease-duration", lease.duration_seconds, 1, 600)
        _require(
            lease.renew_seconds < lease.duration_seconds,
            *("--lease-renew-deadline", lease.renew_seconds),
            f"less than --lease-duration ({lease.duration_seconds:g}): the leader has to stop "
            "before another may start",
        )
        _require(
            0 < lease.retry_seconds * 2 <= lease.renew_seconds,
            *("--lease-retry-period", lease.retry_seconds),
            f"over 0, and at most half of --lease-renew-deadline ({lease.renew_seconds:g}): one "
            "lost request must not cost leadership",
        )

    def _check_defaults(self) -> None:
        defaults = self.defaults
        _matches("--worker-image", defaults.image, IMAGE_PATTERN, "an image's name")
        _require(bool(defaults.image), "--worker-image", "", "an image's name")
        _require(
            not _SECRET_IN_URL.search(defaults.redis_url),
            *("--redis-url", "(not shown: it holds a password)"),
            f"an address without a password, which goes into {ENVIRONMENT_PREFIX}REDIS_PASSWORD: "
            "the address stands in every run's ConfigMap",
        )
        _matches(
            *("--redis-url", defaults.redis_url, REDIS_PATTERN),
            "an address such as redis://cascade-redis:6379/0",
        )
        _require(
            not defaults.redis_url.startswith("embedded:") and bool(defaults.redis_url),
            *("--redis-url", defaults.redis_url),
            "the address of a Redis: no server is embedded in a cluster",
        )
        for flag, address in (
            ("--model-endpoint", defaults.task_endpoint),
            ("--embedding-endpoint", defaults.embedding_endpoint),
        ):
            hidden = "(not shown: it holds a password)"
            _require(
                not _SECRET_IN_URL.search(address),
                *(flag, hidden, "an address without user or password"),
            )
            _matches(flag, address, ENDPOINT_PATTERN, "an address such as http://ollama:11434")

    @property
    def listen_address(self) -> str:
        """The address that probes and metrics listen on."""
        return self.address or ("0.0.0.0" if in_pod() else "127.0.0.1")  # noqa: S104 - a pod's own

    def shown(self) -> dict[str, Any]:
        """The settings for a log line: JSON values, nothing secret."""
        return {
            one.name: _plain(getattr(self, one.name))
            for one in fields(self)
            if one.name != "redis_password"
        }


def in_pod() -> bool:
    """Whether this process runs in a pod of a cluster."""
    return _IN_POD in os.environ


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Path | Provider | StrEnum):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _require(holds: bool, flag: str, value: object, wanted: str) -> None:
    if not holds:
        raise SettingsError(
            f"{flag} = {value!r} cannot be used",
            mend=f"give {flag} (or {variable_of(flag)}) {wanted}",
        )


def _within(flag: str, value: float, least: float, most: float) -> None:
    _require(least <= value <= most, flag, value, f"a number from {least} to {most}")


def _matches(flag: str, value: str, pattern: str, wanted: str) -> None:
    _require(re.fullmatch(pattern, value) is not None, flag, value, wanted)
