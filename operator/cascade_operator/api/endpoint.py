"""Where a model is: the address as a session writes it, and the URL behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cascade_operator.api.errors import SpecError

EMBEDDED_CHAT: Final = "embedded:chat"
EMBEDDED_EMBEDDINGS: Final = "embedded:embeddings"

_EMBEDDED_VARIABLES: Final = {
    EMBEDDED_CHAT: "CASCADE_EMBEDDED_CHAT_URL",
    EMBEDDED_EMBEDDINGS: "CASCADE_EMBEDDED_EMBEDDINGS_URL",
}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_VERSION_SEGMENT: Final = re.compile(r"v\d\w*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address.

    Attributes:
        logical: What cache keys and messages name: the written address without ``/v1``, or
            ``embedded:chat``. A local server's port changes from run to run; this does not.
        base_url: Where it answers now, without a slash at its end.
    """

    logical: str
    base_url: str

    @property
    def embedded(self) -> bool:
        """Whether this is a server that the local cluster started itself."""
        return self.logical.startswith("embedded:")

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine: no proxy is asked then."""
        return urlsplit(self.base_url).hostname in _LOOPBACK

    @property
    def host(self) -> str:
        """The host's name, lower case."""
        return urlsplit(self.base_url).hostname or ""

    def openai_url(self, path: str) -> str:
        """Returns the URL of an OpenAI-compatible path such as ``chat/completions``."""
        segments = urlsplit(self.base_url).path.split("/")
        versioned = any(_VERSION_SEGMENT.fullmatch(segment) for segment in segments)
        return f"{self.base_url}/{path}" if versioned else f"{self.base_url}/v1/{path}"

    def ollama_url(self, path: str) -> str:
        """Returns the URL of an Ollama path such as ``api/chat``."""
        return f"{self.base_url.removesuffix('/v1')}/{path}"


def resolve_endpoint(text: str, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Reads an endpoint of a session.

    Args:
        text: ``http(s)://host[:port][/path][/v1]``, ``embedded:chat`` or ``embedded:embeddings``.
        environ: Environment variables; the process's own by default.

    Raises:
        SpecError: It is no such address, or names an embedded server where there is none: in a
            cluster no retry would find one.
    """
    environ = os.environ if environ is None else environ
    written = text.strip()
    variable = _EMBEDDED_VARIABLES.get(written)
    if variable is not None:
        url = environ.get(variable, "")
        if not url:
            raise SpecError(
                f"{written} is not running: {variable} is not set",
                mend="Embedded servers run under `cascade run`; in a cluster give the model "
                "an endpoint of its own.",
            )
        return Endpoint(written, _checked(url))
    url = _checked(written)
    return Endpoint(url.removesuffix("/v1"), url)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.username is None
            and not parts.query
            and not parts.fragment
            and parts.port != 0
        )
    except ValueError:
        fine = False
    if not fine:
        raise SpecError(
            f"endpoint {url!r} is no http(s)://host[:port][/path]",
            mend="Write the server's address; a key belongs in apiKeySecretRef.",
        )
    return url.rstrip("/")
