"""kopf, reduced to its watch of sessions (88): it hears, and tells the loop; it writes nothing.

Only ``on.event`` handlers: they put no finalizer and no annotation on anyone's object, keep no
progress and are not retried. What they do is enqueue; the level-triggered loop does the rest.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import kopf

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.manifests.labels import API_VERSION, PREFIX
from cascade_operator.control.runtime.logs import log

_STAGE: Final = 88
_VERSION: Final = API_VERSION.partition("/")[2]
_LOGIN_MINUTES: Final = 30
"""A pod's token lives an hour and its file is renewed before: read it again well within that."""

_KOPF: Final = f"{Path(kopf.__file__).parent}{os.sep}"

Told = Callable[[str | None, dict[str, Any]], None]


class Listener(Protocol):
    """Who is told of changes; the call is plain, quick, and made in the event loop."""

    def session_event(self, type: str | None, raw: dict[str, Any]) -> None:  # noqa: A002
        """A TrainingSession was listed (None), ADDED, MODIFIED or DELETED."""
        ...


class _NotOfKopf(Collection[Any]):
    """The tasks that are none of kopf's, by where their code is.

    When it ends, kopf takes all tasks that were started after it for its own and cancels them: the
    loop's and the elector's among them. Its own it has to cancel, though: where one watch fails,
    the others go on otherwise, and each event would be heard twice once it is started again.
    """

    def __contains__(self, task: object) -> bool:
        code = getattr(getattr(task, "get_coro", lambda: None)(), "cr_code", None)
        return code is None or not str(code.co_filename).startswith(_KOPF)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing on objects, and compares nothing.

    kopf copies every object of every event, twice, for handlers that are told what changed. There
    are none here, and the copies were two thirds of the time that an event took.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        del body

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        del body, patch, essence


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing on objects: a handler that only enqueues has no progress."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        del key, body

    def store(self, *, key: str, record: object, body: kopf.Body, patch: kopf.Patch) -> None:
        del key, record, body, patch

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        del key, body, patch

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        del body, patch, value

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


async def watch(
    api: KubeApi,
    listener: Listener,
    *,
    namespaces: Sequence[str],
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    after_start: Callable[[], None] = lambda: None,
) -> None:
    """Watches until told to stop, or until kopf gives up.

    Args:
        api: Whose server and credentials to use.
        listener: Who is told.
        namespaces: Where to watch; none: in the whole cluster.
        stop: Ends it, within about two seconds.
        ready: Is set once kopf has started.
        after_start: Called when kopf's tasks exist. kopf takes the process's signal handlers
            then; this is where to take them back.

    Raises:
        Exception: What made kopf give up: an answer of the API server it has no other use for.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry_of(api, listener),
        settings=watch_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        identity=None,
        stop_flag=stop,
        ready_flag=ready,
    )
    after_start()
    await kopf.run_tasks(tasks, ignored=_NotOfKopf())


def registry_of(api: KubeApi, listener: Listener) -> kopf.OperatorRegistry:
    """The handlers: of sessions and of the login; nothing is registered globally."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login", retries=3, backoff=2)(_login(api))  # type: ignore[arg-type]
    kopf.on.event(PREFIX, _VERSION, "trainingsessions", registry=registry, id="session")(
        _handler(listener.session_event)
    )
    return registry


def watch_settings() -> kopf.OperatorSettings:
    """Returns the settings of kopf, each for a reason that was seen."""
    settings = kopf.OperatorSettings()
    # Who works is decided by a Lease; peering objects of anyone else must not pause us.
    settings.peering.standalone = True
    # No list of CRDs and namespaces: no rights for them are asked. The CRD is checked beforehand.
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    # A watch that fell silent behind a load balancer is noticed by missing bookmarks (70 s);
    # this bounds whatever else may hang.
    settings.watching.client_timeout = 600
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8)
    settings.networking.enforce_retry_after = True
    # A limit below the number of objects would hold events back behind idle ones.
    settings.queueing.worker_limit = None
    # So long each object's last event is kept after it was heard, whole: thousands at a time.
    settings.queueing.idle_timeout = 0.2
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.persistence.finalizer = f"{PREFIX}/operator"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    # Threads are for synchronous handlers, of which there are none.
    settings.execution.max_workers = 1
    # kopf would kill the whole process so long after its own end, also one that goes on.
    settings.process.ultimate_exiting_timeout = None
    return settings


def _handler(told: Told) -> Any:
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        # An exception of kind BaseException would end kopf, so one odd object would end the
        # operator, again and again; any other would be logged with the whole object.
        try:
            told(event["type"], dict(event["object"]))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - see above
            metadata = event["object"].get("metadata", {})
            name = f"{metadata.get('namespace')}/{metadata.get('name')}"
            text = f"an event of the session {name} could not be taken in: {error!r}"
            log(_STAGE, text, level=logging.ERROR)

    return on_event


def _login(api: KubeApi) -> Any:
    async def login(**_: Any) -> kopf.ConnectionInfo:
        found = await api.credentials()
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=_LOGIN_MINUTES)
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_file,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            insecure=not found.verify,
            proxy_url=found.proxy,
            scheme=found.scheme or None,
            token=found.token or None,
            expiration=until,
        )

    return login
