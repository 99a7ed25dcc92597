"""Requests to one API server (80): raw dicts in and out, and errors by what they ask for.

The client's typed models refuse what they do not know, in pod templates too, and cost ten times a
plain dict. So this takes of the client what it does well (credentials, TLS, connections) and leaves
the models alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTResponse

from cascade_operator.api.errors import SpecError
from cascade_operator.control.kube.decode import read_json
from cascade_operator.control.kube.errors import UnauthorizedError, UnreachableError, error_of
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.kube.resources import JSON
from cascade_operator.control.kube.watch_stream import watch_event, watch_lines

_CONNECT_SECONDS: Final = 10.0
_CONNECTIONS: Final = 32
_RELOGIN_SECONDS: Final = 10.0
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Told = Callable[[str, str, int, float], None]
"""Is told of each request: verb, resource, HTTP status (0 without an answer), seconds."""


def _untold(verb: str, resource: str, status: int, seconds: float) -> None:
    del verb, resource, status, seconds


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another client needs to speak to the same server as the same user.

    Attributes:
        server: The server's URL.
        ca_file: Certificates to trust; None for the system's.
        cert_file: A client certificate.
        key_file: Its key.
        verify: Whether to check the server's certificate.
        proxy: A proxy's URL.
        scheme: Of the ``Authorization`` header, e.g. ``Bearer``; empty without one.
        token: What follows it.
    """

    server: str
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    verify: bool
    proxy: str | None = None
    scheme: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    seconds: float
    silence: float | None = None


class KubeApi:
    """One API server, with one pool of connections. Used from one event loop.

    Attributes:
        namespace: Of the kubeconfig's context, or the pod's own; else ``default``.
        server: The server's URL.
    """

    def __init__(
        self, configuration: client.Configuration, namespace: str, *, told: Told = _untold
    ) -> None:
        """Connects on first use.

        Args:
            configuration: Where and with which credentials.
            namespace: See above.
            told: Is told of each request.
        """
        self.namespace = namespace
        self.server: str = configuration.host
        self._told = told
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "cascade-operator"
        self._login: Callable[[], Awaitable[client.Configuration]] | None = None
        self._last_login = time.monotonic()
        self._relogin = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        watches: int = 0,
        told: Told = _untold,
    ) -> Self:
        """Finds the credentials: those named, else the pod's own, else the user's kubeconfig.

        Args:
            kubeconfig: A kubeconfig's path; by default ``KUBECONFIG``, then ``~/.kube/config``.
            context: A context of it; by default its current one.
            watches: How many watches will be open all the time: each takes a connection.
            told: Is told of each request.

        Raises:
            SpecError: There is none, or it cannot be read.
        """

        async def login() -> client.Configuration:
            configuration, _ = await _credentials(kubeconfig, context)
            return configuration

        configuration, namespace = await _credentials(kubeconfig, context)
        configuration.connection_pool_maxsize += watches
        api = cls(configuration, namespace, told=told)
        api._login = login
        return api

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float = 30.0,
    ) -> dict[str, Any]:
        """Makes one request.

        Args:
            method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
            path: Below the server's URL, already quoted.
            query: Parameters.
            body: What to send, as JSON.
            content_type: Of ``body``.
            accept: What to ask for, e.g. metadata alone.
            seconds: After which it is given up.

        Raises:
            ClusterError: It failed; see ``control.kube.errors`` for the kinds.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": accept, "Content-Type": content_type}
        request = _Request(method, url, headers, body, seconds)
        try:
            return await self._once(request)
        except UnauthorizedError:
            if not await self._logged_in_again():
                raise
        return await self._once(request)

    async def credentials(self) -> Credentials:
        """Reads the credentials anew, as they are now: a pod's token is replaced every hour.

        Raises:
            SpecError: They cannot be read any more.
        """
        fresh = self._client.configuration if self._login is None else await self._login()
        bearer = (await fresh.auth_settings()).get("BearerToken")
        scheme, _, token = str(bearer["value"] or "" if bearer else "").partition(" ")
        return Credentials(
            server=fresh.host,
            ca_file=fresh.ssl_ca_cert,
            cert_file=fresh.cert_file,
            key_file=fresh.key_file,
            verify=bool(fresh.verify_ssl),
            proxy=fresh.proxy,
            scheme=scheme,
            token=token,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def watch(
        self,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        seconds: float = 300.0,
        silence: float | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yields a watch's events, ``{"type": ..., "object": {...}}``, until the server ends it.

        Args:
            path: Below the server's URL, already quoted.
            query: Parameters, among them ``resourceVersion``.
            seconds: After which the server is to end it; the caller then watches on.
            silence: Seconds without a word after which it is taken for broken.

        Raises:
            GoneError: The resource version is too old: list anew.
            ClusterError: It failed; see ``control.kube.errors`` for the kinds.
        """
        asked = {**(query or {}), "watch": "true", "timeoutSeconds": round(seconds)}
        headers = {"Accept": JSON, "Content-Type": JSON}
        url = f"{path}?{urlencode(asked)}"
        try:
            answer = await self._open(
                _Request("GET", url, headers, None, seconds + _CONNECT_SECONDS, silence)
            )
            try:
                if not 200 <= answer.status < 300:
                    data, after = await answer.read(), answer.headers.get("Retry-After")
                    raise error_of(answer.status, data, after, time.time())
                async for line in watch_lines(answer.response.content.iter_any()):
                    yield watch_event(line, time.time())
            finally:
                answer.response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise UnreachableError(f"{self.server} ended a watch: {words}") from error

    async def _open(self, request: _Request) -> RESTResponse:
        headers = {**self._client.default_headers, **request.headers}
        await self._client.update_params_for_auth(
            headers, None, ["BearerToken"], request.url, request.method, request.body
        )
        timeout = aiohttp.ClientTimeout(
            total=request.seconds, sock_connect=_CONNECT_SECONDS, sock_read=request.silence
        )
        return await self._client.call_api(
            request.method,
            self.server + request.url,
            headers,
            request.body,
            _request_timeout=timeout,
        )

    async def _once(self, request: _Request) -> dict[str, Any]:
        method, url = request.method, request.url
        began, status = time.monotonic(), 0
        try:
            answer = await self._open(request)
            status, data = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise UnreachableError(f"{self.server} does not answer: {words}") from error
        finally:
            self._told(method.lower(), _resource_of(url), status, time.monotonic() - began)
        if not 200 <= status < 300:
            raise error_of(status, data, answer.headers.get("Retry-After"), time.time())
        try:
            found = read_json(data)
        except ValueError as error:
            raise ClusterError(f"{self.server} answered {method} {url} without JSON") from error
        if not isinstance(found, dict):
            raise ClusterError(f"{self.server} answered {method} {url} with no object")
        return found

    async def _logged_in_again(self) -> bool:
        """Reads the credentials anew, at most every few seconds; says whether it did."""
        async with self._relogin:
            if self._login is None or time.monotonic() - self._last_login < _RELOGIN_SECONDS:
                return False
            self._last_login = time.monotonic()
            fresh = await self._login()
            self._client.configuration.api_key = fresh.api_key
            self._client.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
            return True


def _resource_of(url: str) -> str:
    """The resource of a path, with its subresource: ``jobs``, ``trainingsessions/status``."""
    parts = url.partition("?")[0].strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    return "/".join(parts[::2][:2]) or "discovery"


async def _credentials(
    kubeconfig: str | None, context: str | None
) -> tuple[client.Configuration, str]:
    # Not the client's shared default: two connections of one process may go to two servers.
    configuration = client.Configuration(connection_pool_maxsize=_CONNECTIONS)
    in_pod = os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG")
    if kubeconfig is None and context is None and in_pod:
        try:
            config.load_incluster_config(configuration)
        except config.ConfigException as error:
            raise SpecError(
                f"the pod's service account cannot be read: {error}",
                mend="mount its token (automountServiceAccountToken: true), or name a kubeconfig",
            ) from error
        return configuration, _pod_namespace()
    named = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    mend = "name one with --kubeconfig or KUBECONFIG"
    try:
        loader = await config.load_kube_config(
            config_file=named, context=context, client_configuration=configuration
        )
    except (config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError) as error:
        chosen = f", context {context!r}" if context else ""
        raise SpecError(
            f"the kubeconfig {named}{chosen} cannot be used: {error}", mend=mend
        ) from error
    entry = loader.current_context or {}
    return configuration, str((entry.get("context") or {}).get("namespace") or "default")


def _pod_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text(encoding="ascii").strip()
    except OSError:
        return "default"
