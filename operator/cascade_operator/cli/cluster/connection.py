"""From the command line to an API server, and from its errors to what a user can do about them."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from cascade_operator.api.errors import CascadeError, ServiceUnavailable, SpecError

if TYPE_CHECKING:
    from cascade_operator.control.kube.api import KubeApi
    from cascade_operator.control.kube.port import ClusterError

_T = TypeVar("_T")

INTERRUPTED: Final = 130
"""What a shell reports for a process that SIGINT ended."""

KubeconfigOption = Annotated[
    str | None,
    typer.Option("--kubeconfig", help="A kubeconfig; else KUBECONFIG, then ~/.kube/config."),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="A context of it; else its current one.")
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="A namespace; else the context's, else `default`."),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, as the user named it.

    Attributes:
        kubeconfig: A path; None for the usual places.
        context: A context; None for the current one.
        namespace: A namespace; None for the context's.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    def namespace_of(self, api: KubeApi) -> str:
        """The namespace that is meant."""
        return self.namespace or api.namespace


async def connect(target: Target) -> KubeApi:
    """Finds the credentials; the first request connects.

    Raises:
        SpecError: There are none, or the packages for a cluster are not installed.
    """
    try:
        from cascade_operator.control.kube.api import KubeApi
    except ModuleNotFoundError as error:
        raise SpecError(
            f"this installation speaks to no cluster: the package {error.name} is missing",
            mend="pip install 'cascade-operator[operator]'",
        ) from error
    return await KubeApi.connect(kubeconfig=target.kubeconfig, context=target.context)


def on_cluster(target: Target, ask: Callable[[KubeApi], Coroutine[Any, Any, _T]]) -> _T:
    """Runs what a command does on a cluster; Ctrl-C ends it without a word.

    Raises:
        CascadeError: What went wrong, and what to do.
        typer.Exit: It was interrupted.
    """
    import asyncio
    import signal

    from cascade_operator.control.kube.depth import deep_objects
    from cascade_operator.control.kube.port import ClusterError

    async def run() -> _T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        api = await connect(target)
        try:
            return await ask(api)
        except ClusterError as error:
            raise explained(error, api.server) from error
        finally:
            await api.close()

    try:
        with deep_objects():
            return asyncio.run(run())
    except asyncio.CancelledError:
        raise typer.Exit(INTERRUPTED) from None


def explained(error: ClusterError, server: str) -> CascadeError:
    """Returns a cluster's error as one that says what to do."""
    from cascade_operator.control.kube.errors import BusyError, UnauthorizedError, UnreachableError
    from cascade_operator.control.kube.port import RefusedError

    if isinstance(error, UnreachableError):
        mend = "check that the cluster runs and that --context names the right one"
        return ServiceUnavailable(str(error), mend=mend)
    if isinstance(error, UnauthorizedError):
        mend = "log in again, or name other credentials with --kubeconfig or --context"
        return ServiceUnavailable(f"{server} does not accept the credentials: {error}", mend=mend)
    if isinstance(error, RefusedError) and error.reason == "Forbidden":
        mend = (
            "ask for a role with get, list and watch (patch to retrain or suspend) of "
            "trainingsessions in cascade-operator.dev"
        )
        return ServiceUnavailable(str(error), mend=mend)
    if isinstance(error, RefusedError):
        return SpecError(f"{server} refuses: {error}")
    if isinstance(error, BusyError):
        return ServiceUnavailable(f"{server} is busy: {error}", mend="try again in a moment")
    return ServiceUnavailable(f"{server}: {error}")
