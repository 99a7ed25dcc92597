"""Code of the session's image, named as ``package:attr``: a node's module, a custom metric."""

from __future__ import annotations

import importlib
from typing import Any


class EntrypointError(ValueError):
    """It cannot be imported; the text completes "<what names it> ..."."""


def import_entrypoint(reference: str) -> Any:
    """Imports what ``package:attr`` names; the attribute may be dotted.

    Raises:
        EntrypointError: Whatever the import raises: the image's module runs at import.
    """
    package, _, attribute = reference.partition(":")
    try:
        found: Any = importlib.import_module(package)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise EntrypointError(f"does not import: {type(error).__name__}: {error}") from error
    return found
