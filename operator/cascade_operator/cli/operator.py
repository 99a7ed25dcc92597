"""``cascade operator``: what the operator's pod runs."""

# ruff: noqa: PLC0415 - named as its command; heavy modules load only when it runs

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cascade_operator.control.runtime.flags import (
    ENVIRONMENT_PREFIX,
    LogFormat,
    LogLevel,
    split_names,
    variable_of,
)

_CLUSTER = "Which cluster, and what of it"
_LOOP = "The loop"
_LEASE = "Leadership"
_DEFAULTS = "What sessions fall back to"
_PROCESS = "Probes, metrics and logs"

_Dialect = Literal["Ollama", "OpenAI"]


def _option(flag: str, panel: str, text: str) -> Any:
    return typer.Option(
        flag, envvar=variable_of(flag.split("/", maxsplit=1)[0]), help=text, rich_help_panel=panel
    )


def operator(
    namespace: Annotated[
        list[str] | None,
        _option(
            "--namespace",
            _CLUSTER,
            "Serve this namespace only; give it again for more. Without it: the whole cluster.",
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        _option(
            "--kubeconfig",
            _CLUSTER,
            "Without it: the pod's service account, else `KUBECONFIG`, else `~/.kube/config`.",
        ),
    ] = None,
    context: Annotated[
        str, _option("--context", _CLUSTER, "A context of it; by default the current one.")
    ] = "",
    workers: Annotated[
        int, _option("--workers", _LOOP, "Sessions reconciled at the same time.")
    ] = 16,
    resync: Annotated[
        float, _option("--resync", _LOOP, "Seconds between lists, which find what no watch told.")
    ] = 300.0,
    figures_interval: Annotated[
        float,
        _option(
            "--figures-interval",
            _LOOP,
            "Seconds between two looks at live figures; each session whose figures have changed "
            "costs a write.",
        ),
    ] = 30.0,
    exit_timeout: Annotated[
        float,
        _option("--exit-timeout", _LOOP, "Seconds to end in; less than the pod's grace period."),
    ] = 25.0,
    leader_election: Annotated[
        bool,
        _option(
            "--leader-election/--no-leader-election",
            _LEASE,
            "Take a Lease before working: of several replicas one works.",
        ),
    ] = True,
    lease_name: Annotated[
        str,
        _option("--lease-name", _LEASE, "Operators of different namespaces need different ones."),
    ] = "cascade-operator",
    lease_namespace: Annotated[
        str, _option("--lease-namespace", _LEASE, "Where it is; by default the pod's namespace.")
    ] = "",
    lease_duration: Annotated[
        float,
        _option("--lease-duration", _LEASE, "Seconds others wait after the last renewal they saw."),
    ] = 15.0,
    lease_renew_deadline: Annotated[
        float,
        _option("--lease-renew-deadline", _LEASE, "Seconds without a renewal until it ends."),
    ] = 10.0,
    lease_retry_period: Annotated[
        float, _option("--lease-retry-period", _LEASE, "Seconds between renewals.")
    ] = 2.0,
    worker_image: Annotated[
        str, _option("--worker-image", _DEFAULTS, "The image of a session's Jobs.")
    ] = "cascade-operator-worker:latest",
    redis_url: Annotated[
        str,
        _option(
            "--redis-url",
            _DEFAULTS,
            "Without a password: the operator reads that from `CASCADE_OPERATOR_REDIS_PASSWORD`, "
            "Jobs from a Secret of their namespace.",
        ),
    ] = "redis://cascade-redis:6379",
    model_endpoint: Annotated[
        str, _option("--model-endpoint", _DEFAULTS, "The model server.")
    ] = "http://ollama:11434",
    model_provider: Annotated[
        _Dialect | None,
        _option("--model-provider", _DEFAULTS, "Its dialect; by default the session's."),
    ] = None,
    model: Annotated[
        str, _option("--model", _DEFAULTS, "Its model; by default the session's.")
    ] = "",
    embedding_endpoint: Annotated[
        str, _option("--embedding-endpoint", _DEFAULTS, "The embedding server.")
    ] = "http://ollama:11434",
    embedding_provider: Annotated[
        _Dialect | None,
        _option("--embedding-provider", _DEFAULTS, "Its dialect; by default the session's."),
    ] = None,
    embedding_model: Annotated[
        str, _option("--embedding-model", _DEFAULTS, "Its model; by default the session's.")
    ] = "",
    address: Annotated[
        str,
        _option(
            "--address", _PROCESS, "Where they listen; by default all of a pod, else loopback."
        ),
    ] = "",
    health_port: Annotated[
        int, _option("--health-port", _PROCESS, "Of `/healthz`, `/readyz`; 0 takes a free one.")
    ] = 8081,
    metrics_port: Annotated[
        int,
        _option("--metrics-port", _PROCESS, "Of `/metrics`; may be the same; 0 takes a free one."),
    ] = 8080,
    log_level: Annotated[
        LogLevel, _option("--log-level", _PROCESS, "From which level on to log.")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, _option("--log-format", _PROCESS, "`auto` is text on a terminal, else JSON.")
    ] = LogFormat.AUTO,
) -> None:
    """Serve the TrainingSessions of a Kubernetes cluster.

    Needs the CRD (`kubectl apply -f crds/`) and runs until SIGTERM or Ctrl-C. Each option can also
    come from the environment variable shown beside it.

    It writes Jobs, ConfigMaps and events, and the status of sessions; never their spec, labels or
    annotations. Of several replicas one works; the others take over within seconds.

    Exit codes: 0 told to stop, 1 leadership lost, or the CRD is missing, 64 a setting cannot be
    used, 69 the API server does not answer.

    Examples:
    `cascade operator` - the whole cluster, as in a pod

    `cascade operator --namespace ml --namespace vision --lease-name cascade-ml`

    `cascade operator --context kind-dev --no-leader-election` - from a laptop
    """
    import os

    from cascade_operator.api.models_spec import Provider
    from cascade_operator.api.resolve import Defaults
    from cascade_operator.control.runtime.process import run
    from cascade_operator.control.runtime.settings import LeaseSettings, Settings

    def dialect(given: str | None) -> Provider | None:
        return None if given is None else Provider(given)

    settings = Settings(
        namespaces=split_names(namespace or ()),
        kubeconfig=kubeconfig,
        context=context,
        workers=workers,
        resync_seconds=resync,
        figures_seconds=figures_interval,
        lease=LeaseSettings(
            enabled=leader_election,
            name=lease_name,
            namespace=lease_namespace,
            duration_seconds=lease_duration,
            renew_seconds=lease_renew_deadline,
            retry_seconds=lease_retry_period,
        ),
        address=address,
        health_port=health_port,
        metrics_port=metrics_port,
        log_level=log_level,
        log_format=log_format,
        # Workers read the same Secret as a file, without the newline that editors leave at its end.
        redis_password=os.environ.get(f"{ENVIRONMENT_PREFIX}REDIS_PASSWORD", "").strip(),
        exit_seconds=exit_timeout,
        defaults=Defaults(
            image=worker_image,
            redis_url=redis_url,
            task_endpoint=model_endpoint,
            task_model=model,
            task_provider=dialect(model_provider),
            embedding_endpoint=embedding_endpoint,
            embedding_model=embedding_model,
            embedding_provider=dialect(embedding_provider),
        ),
    )
    raise typer.Exit(run(settings))
