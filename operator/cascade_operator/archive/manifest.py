"""``manifest.json``: what an archive says of itself, and the digest of each other member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.canonical import canonical_json
from cascade_operator.archive.documents import parse_object
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import FOLDER_NAME, SESSION_ID, Limits, byte_cap

FORMAT: Final = "cascade-archive"
VERSION: Final = 1

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_RECIPE: Final = 256
_MAX_SIZE: Final = 6


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member: its name, its bytes and their SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first member of every archive.

    Attributes:
        session_id: Of the run.
        namespace: Of the session.
        session: Its name.
        group_size: The size of the groups in this file; 0 when it holds none.
        sizes: The sizes of the files written together with it, itself included.
        progressive: True when the run was not over.
        recipe: What made the raw vectors.
        members: All others, by name.
    """

    session_id: str
    namespace: str
    session: str
    group_size: int
    sizes: tuple[int, ...]
    progressive: bool
    recipe: str
    members: Mapping[str, MemberInfo]

    def to_json(self) -> bytes:
        """Returns the canonical document."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "sessionId": self.session_id,
            "namespace": self.namespace,
            "session": self.session,
            "groupSize": self.group_size,
            "sizes": list(self.sizes),
            "progressive": self.progressive,
            "recipe": self.recipe,
            "members": {
                m.name: {"size": m.size, "sha256": m.sha256} for m in self.members.values()
            },
        }
        return canonical_json(document).encode()


def parse_manifest(data: bytes, limits: Limits) -> Manifest:
    """Reads a manifest as hostile.

    Raises:
        MalformedError: It is of another format or version, lacks a field or holds one of another
            type, or lists a member that no archive has.
    """
    raw = parse_object(data)
    if raw.get("format") != FORMAT:
        raise MalformedError(f"is not of the format {FORMAT}")
    if raw.get("version") != VERSION:
        raise MalformedError(
            f"has format version {raw.get('version')!r}, and this program reads {VERSION}",
            mend="Read it with the release that wrote it, or name another archive.",
        )
    sizes = _of(raw, "sizes", list)
    manifest = Manifest(
        session_id=_text(raw, "sessionId", SESSION_ID),
        namespace=_text(raw, "namespace", FOLDER_NAME),
        session=_text(raw, "session", FOLDER_NAME),
        group_size=_count(raw.get("groupSize"), "groupSize", _MAX_SIZE),
        sizes=tuple(_count(size, "sizes", _MAX_SIZE) for size in sizes[: _MAX_SIZE + 1]),
        progressive=_of(raw, "progressive", bool),
        recipe=_of(raw, "recipe", str)[:_MAX_RECIPE],
        members=_members(_of(raw, "members", dict), limits),
    )
    if manifest.group_size not in manifest.sizes:
        raise MalformedError("does not list its own group size among its sizes")
    return manifest


def _members(raw: Mapping[str, Any], limits: Limits) -> dict[str, MemberInfo]:
    if len(raw) > limits.members:
        raise MalformedError(f"lists {len(raw)} members; at most {limits.members} are read")
    found = {}
    for name, entry in raw.items():
        cap = byte_cap(name)
        if cap is None:
            raise MalformedError(f"lists a member that no archive has: {name[:100]!r}")
        if not isinstance(entry, dict):
            raise MalformedError(f"says nothing of {name}")
        size = _count(entry.get("size"), f"size of {name}", min(cap, limits.member_bytes))
        found[name] = MemberInfo(name, size, _text(entry, "sha256", _SHA256))
    return found


def _of(raw: Mapping[str, Any], name: str, kind: type) -> Any:
    value = raw.get(name)
    if not isinstance(value, kind):
        raise MalformedError(f"has no valid {name}")
    return value


def _text(raw: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise MalformedError(f"has no valid {name}")
    return value


def _count(value: Any, name: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise MalformedError(f"has no valid {name}: a number from 0 to {most} is expected")
    return value
