"""Small runs to archive, and tar files put together by hand as an attacker would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import zstandard

from cascade_operator.archive.encoding import encode
from cascade_operator.archive.model import (
    GroupArchive,
    NodeMatrices,
    RunArchive,
    SplitRow,
    TrialRow,
)

NODES = ("agent-00-autogen-bmad", "agent-10-baml-transform", "agent-20-speckit-dspy")
SESSION_ID = "20260102T030405Z"

Entry = tuple[tarfile.TarInfo, bytes]


def make_split(validation: int = 3, training: int = 2, prefix: str = "r") -> tuple[SplitRow, ...]:
    names = ["validation"] * validation + ["training"] * training + ["heldOut"]
    return tuple(
        SplitRow(f"{prefix}{i}", hashlib.sha256(f"{prefix}{i}".encode()).hexdigest(), name)
        for i, name in enumerate(names)
    )


def make_matrices(ids: Iterable[str], seed: int = 0, *, validated: bool = False) -> NodeMatrices:
    ids = tuple(ids)
    rng = np.random.default_rng(seed)

    def matrix(dimensions: int) -> Any:
        return rng.normal(size=(len(ids), dimensions)).astype(np.float16)

    return NodeMatrices(
        ids, matrix(4), matrix(8), matrix(4), matrix(8), matrix(8) if validated else None
    )


def make_group(key: str, validation: int = 3, **changes: Any) -> GroupArchive:
    nodes = tuple(NODES[int(position) // 10] for position in key.split("_"))
    values: dict[str, Any] = {
        "key": key,
        "nodes": nodes,
        "checkpoint_json": b'{"trials":2}',
        "posterior": np.arange(1, 2 * validation + 1, dtype=np.float64).reshape(validation, 2),
        "trials": (
            TrialRow(0, dict.fromkeys(nodes, 0), 0.5, "whole", 3),
            TrialRow(1, dict.fromkeys(nodes, 1), 0.75, "minibatch", 2, 1, "sampler"),
        ),
        "program_json": b'{"program":1}',
        "result": {"group": key, "score": 0.75},
    }
    return GroupArchive(**{**values, **changes})


def make_run(keys: Iterable[str] = ("00", "10", "00_10"), **changes: Any) -> RunArchive:
    split = changes.pop("split", None) or make_split()
    validation = sum(row.split == "validation" for row in split)
    ids = [row.record_id for row in split]
    reducer = io.BytesIO()
    np.savez(reducer, components=np.ones((2, 3), np.float32), method=np.array("PCA"))
    values: dict[str, Any] = {
        "config_json": b'{"version":1}',
        "session_id": SESSION_ID,
        "namespace": "team-a",
        "session": "support",
        "progressive": False,
        "split": split,
        "candidates_json": b'{"pool":{}}',
        "groups": {key: make_group(key, validation) for key in keys},
        "io_matrices": {node: make_matrices(ids, i) for i, node in enumerate(NODES[:2])},
        "reducer_npz": reducer.getvalue(),
        "recipe": "nomic-embed-text:v1.5/256",
        "documents": {"62_timeline.json": b'{"jobs":[]}'},
    }
    return RunArchive(**{**values, **changes})


def tar_entry(name: str, data: bytes = b"", **changes: Any) -> Entry:
    """A tar entry; ``changes`` are attributes of its header, whatever they claim."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in changes.items():
        setattr(info, attribute, value)
    return info, data


def tar_bytes(entries: Iterable[Entry], end: bytes = bytes(1024), form: int | None = None) -> bytes:
    """Headers and bodies one after the other, without tarfile's own care."""
    out = b""
    for info, data in entries:
        form_used = tarfile.GNU_FORMAT if form is None else form
        out += info.tobuf(form_used, "utf-8", "surrogateescape")
        out += data + bytes(-len(data) % 512)
    return out + end


def compress(data: bytes, form: str = "Zstd") -> bytes:
    if form == "Gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor(level=3).compress(data)


def manifest_of(files: Mapping[str, bytes], **changes: Any) -> bytes:
    """An honest manifest of these files, except for ``changes``."""
    document = {
        "format": "cascade-archive",
        "version": 1,
        "sessionId": SESSION_ID,
        "namespace": "team-a",
        "session": "support",
        "groupSize": 1,
        "sizes": [1],
        "progressive": False,
        "recipe": "",
        "members": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }
    return json.dumps({**document, **changes}).encode()


def small_members() -> dict[str, bytes]:
    """The members of a whole, small archive of one group of one node."""
    return encode(make_run(["00"]).of_size(1, [1]))


def entries_of(members: Mapping[str, bytes], manifest: bytes | None = None) -> list[Entry]:
    """A manifest (an honest one by default) and the members, as tar entries."""
    first = manifest_of(members) if manifest is None else manifest
    return [
        tar_entry("manifest.json", first),
        *(tar_entry(name, members[name]) for name in sorted(members)),
    ]
