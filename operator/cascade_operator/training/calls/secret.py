"""API keys: files mounted from Secrets, never values in a session."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cascade_operator.api.errors import ServiceUnavailable

DEFAULT_ROOT: Final = "/etc/cascade-secrets"
_MAX_KEY: Final = 16_384
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def read_secret(name: str, key: str, environ: Mapping[str, str] | None = None) -> str:
    """Reads one key of a mounted Secret.

    Looked for as the file ``<root>/<name>/<key>``, where ``CASCADE_SECRETS`` names the root, and
    then, on a laptop, in the environment variable ``CASCADE_API_KEY_<NAME>``.

    Raises:
        ServiceUnavailable: It is in neither place; a Secret can still be created.
    """
    environ = os.environ if environ is None else environ
    variable = "CASCADE_API_KEY_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    path = Path(environ.get("CASCADE_SECRETS", DEFAULT_ROOT)) / name / key
    # The API checks both names; a name from elsewhere must not climb out of the folder.
    if _SAFE.fullmatch(name) and _SAFE.fullmatch(key):
        try:
            with path.open("rb") as file:
                value = file.read(_MAX_KEY).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            value = ""
        if value:
            return value
    value = environ.get(variable, "").strip()
    if value:
        return value
    raise ServiceUnavailable(
        f"the API key {key} of Secret {name} is not there ({path})",
        mend=f"Create the Secret {name} with the key {key}, or set {variable} on your machine.",
    )
