"""The members an archive may have: their names and the most bytes each may hold.

This is an allow-list. A name that no rule knows is refused, so that nothing in a file from
outside can address anything but a known slot in memory; members never become files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KIB: Final = 2**10
MIB: Final = 2**20
GIB: Final = 2**30

MANIFEST: Final = "manifest.json"
CONFIG: Final = "01_architecture_config.json"
SPLIT: Final = "11_split.parquet"
REDUCER: Final = "14_reducer.npz"
CANDIDATES: Final = "44_candidates.json"
IO_MATRIX_FOLDER: Final = "54_io_matrix"
CHECKPOINT: Final = "49_checkpoint.json"
POSTERIOR: Final = "53_posterior.npy"
TRIALS: Final = "57_trials.parquet"
PROGRAM: Final = "58_program.json"
MAPPING: Final = "59_node_chain_mapping.json"
RESULT: Final = "61_result.json"

RECORDS: Final = "18_records.json"
TIMELINE: Final = "62_timeline.json"
ESTIMATE: Final = "65_estimate.json"
DOCUMENTS: Final[tuple[str, ...]] = (RECORDS, TIMELINE, ESTIMATE)
"""What a run says of itself for a reader: JSON objects, each optional; no training reads them."""

NODE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,62}", re.ASCII)
GROUP_KEY: Final = re.compile(r"[0-9]{2}(?:_[0-9]{2}){0,5}", re.ASCII)
SESSION_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
FOLDER_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
"""A Kubernetes object's name, as namespaces and sessions have."""

_MATRIX: Final = re.compile(rf"{IO_MATRIX_FOLDER}/(?P<node>{NODE_NAME.pattern})\.parquet", re.ASCII)
_GROUP: Final = re.compile(
    rf"group_size_(?P<size>[0-9]{{2}})/nodes_(?P<key>{GROUP_KEY.pattern})/(?P<file>[0-9a-z_.]+)",
    re.ASCII,
)
_RUN_CAPS: Final = {
    MANIFEST: MIB,
    CONFIG: MIB,
    SPLIT: 256 * MIB,
    REDUCER: 512 * MIB,
    CANDIDATES: 32 * MIB,
    RECORDS: 4 * MIB,
    TIMELINE: 8 * MIB,
    ESTIMATE: MIB,
}
_GROUP_CAPS: Final = {
    CHECKPOINT: 32 * MIB,
    POSTERIOR: 32 * MIB,
    TRIALS: 64 * MIB,
    PROGRAM: 32 * MIB,
    MAPPING: 64 * KIB,
    RESULT: MIB,
}
_MATRIX_CAP: Final = GIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a reader accepts, whatever an archive says of itself (bytes, counts).

    Attributes:
        total_bytes: Of the tar, once decompressed.
        member_bytes: Of one member, below what its own rule allows.
        members: How many members.
        rows: Of a table: records or trials.
        dimensions: Of one vector in a matrix.
    """

    total_bytes: int = 2 * GIB
    member_bytes: int = GIB
    members: int = 1024
    rows: int = 1_000_000
    dimensions: int = 4096


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class GroupMember:
    """What a group member's name says: the group's size and key, and the file."""

    size: int
    key: str
    file: str


def matrix_name(node: str) -> str:
    """Returns the member that holds a node's matrices."""
    return f"{IO_MATRIX_FOLDER}/{node}.parquet"


def matrix_node(name: str) -> str | None:
    """Returns the node whose matrices this member holds, or None for another member."""
    match = _MATRIX.fullmatch(name)
    return match["node"] if match else None


def group_name(key: str, file: str) -> str:
    """Returns a group's member: ``group_size_02/nodes_00_02/53_posterior.npy``."""
    return f"group_size_{group_size(key):02d}/nodes_{key}/{file}"


def group_member(name: str) -> GroupMember | None:
    """Returns what a group member's name says, or None for another member."""
    match = _GROUP.fullmatch(name)
    if match is None or match["file"] not in _GROUP_CAPS:
        return None
    size = int(match["size"])
    if size != group_size(match["key"]):
        return None
    return GroupMember(size, match["key"], match["file"])


def group_size(key: str) -> int:
    """Returns how many nodes a group's key names."""
    return key.count("_") + 1


def byte_cap(name: str) -> int | None:
    """Returns the most bytes a member of this name may hold, or None when no rule knows it."""
    if name in _RUN_CAPS:
        return _RUN_CAPS[name]
    if matrix_node(name) is not None:
        return _MATRIX_CAP
    member = group_member(name)
    return _GROUP_CAPS[member.file] if member else None
