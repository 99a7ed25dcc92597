"""Published ConfigMaps on one machine (58): folders of files among the session's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cascade_operator.local.state import checked_name, write_atomically

_METADATA: Final = ".metadata.json"
_FILE_BYTES: Final = 1 << 20


class ConfigMapFolders:
    """Implements the publisher's store in a session's folder of ConfigMaps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """A folder as a ConfigMap; one without metadata is somebody else's."""
        del namespace
        folder = self._folder / checked_name(name)
        if not folder.exists():
            return None
        found: dict[str, Any] = {"metadata": {}, "data": {}}
        for file in sorted(folder.iterdir()):
            with file.open("rb") as stream:
                text = stream.read(_FILE_BYTES).decode("utf-8", "replace")
            if file.name != _METADATA:
                found["data"][file.name] = text
                continue
            try:
                metadata = json.loads(text)
            except ValueError:
                continue
            found["metadata"] = metadata if isinstance(metadata, dict) else {}
        return found

    async def write(self, manifest: Mapping[str, Any], existing: Mapping[str, Any] | None) -> None:
        """Writes the metadata first: a folder cut short is ours, and is written again."""
        del existing
        folder = self._folder / checked_name(manifest["metadata"]["name"])
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _METADATA, json.dumps(manifest["metadata"], indent=1))
        for key, text in manifest["data"].items():
            write_atomically(folder / checked_name(key), text)
