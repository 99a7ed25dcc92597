"""Stage 51: the file form of an archive, written reproducibly and read as hostile.

An archive is one tar (PAX, plain headers) in one zstd frame or one gzip member. ``manifest.json``
comes first, the other members follow sorted by name. The reader streams: it walks the 512-byte
headers itself, takes regular files with known names only, and checks each member's size and
SHA-256 before it hands the bytes on. Nothing is ever written to disk, so links, devices and
``..`` have nothing to point at; they are refused all the same, since only an attack has them.
``tarfile`` decodes single headers here; its extraction, its PAX, GNU and sparse extensions, whose
parsers have had holes (CVE-2024-6232, CVE-2025-4517), are never reached.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.encoding import Contents, FilePart
from cascade_operator.archive.errors import MalformedError, in_archive, in_member
from cascade_operator.archive.manifest import Manifest, MemberInfo, parse_manifest
from cascade_operator.archive.members import DEFAULT_LIMITS, MANIFEST, Limits, byte_cap
from cascade_operator.archive.streams import BoundedStream, compressing

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XHDTYPE: "an extended header",
    tarfile.XGLTYPE: "an extended header",
    tarfile.GNUTYPE_LONGNAME: "an extended header",
    tarfile.GNUTYPE_LONGLINK: "an extended header",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member whose size and digest the manifest confirmed."""

    name: str
    data: bytes
    sha256: str


def describe(members: Mapping[str, Contents]) -> dict[str, MemberInfo]:
    """Returns what a manifest says of these members.

    Raises:
        MalformedError: A name is not on the allow-list, or the bytes exceed its bound: no reader
            would take such an archive.
    """
    described = {}
    for name in sorted(members):
        cap = byte_cap(name)
        if cap is None:
            raise MalformedError("no archive has a member of this name", member=name)
        size = len(members[name])
        if size > cap:
            raise MalformedError(
                f"holds {size} bytes; at most {cap} can be read back",
                member=name,
                mend="Train on fewer records (traces.maxRecords), or with fewer candidates.",
            )
        data = members[name]
        digest = data.sha256 if isinstance(data, FilePart) else hashlib.sha256(data).hexdigest()
        described[name] = MemberInfo(name, size, digest)
    return described


def write_container(
    out: BinaryIO,
    manifest: Manifest,
    members: Mapping[str, Contents],
    compression: Compression,
) -> Manifest:
    """Writes an archive: equal arguments give equal bytes.

    Args:
        out: Where to; it stays open.
        manifest: What the archive says of itself; its members are described anew.
        members: Name -> bytes, without the manifest.
        compression: The form.

    Returns:
        The manifest as written.

    Raises:
        MalformedError: A member no reader would take.
        OSError: The file could not be written.
    """
    manifest = replace(manifest, members=describe(members))
    ordered: dict[str, Contents] = {MANIFEST: manifest.to_json()}
    ordered |= {name: members[name] for name in sorted(members)}
    size = sum(_BLOCK + len(data) + _padding(len(data)) for data in ordered.values()) + len(_END)
    with compressing(out, compression, size) as stream:
        for name, data in ordered.items():
            stream.write(_header(name, len(data)))
            for part in (data,) if isinstance(data, bytes) else data:
                stream.write(part)
            stream.write(bytes(_padding(len(data))))
        stream.write(_END)
    return manifest


class OpenArchive:
    """An archive whose manifest has been read; the members follow as a stream, once."""

    def __init__(self, stream: BoundedStream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        first = _next_header(stream, limits)
        if first is None or first.name != MANIFEST:
            raise MalformedError(f"does not begin with {MANIFEST}")
        with in_member(MANIFEST):
            self.manifest: Manifest = parse_manifest(_body(stream, first.size), limits)

    def members(self) -> Iterator[Member]:
        """Yields each member once its digest is right; all of them, or it raises.

        Raises:
            MalformedError: A member breaks a rule, is not in the manifest, or is missing.
        """
        missing = dict(self.manifest.members)
        seen = {MANIFEST}
        while (header := _next_header(self._stream, self._limits)) is not None:
            with in_member(header.name):
                if header.name in seen:
                    raise MalformedError("stands in the archive twice")
                seen.add(header.name)
                expected = missing.pop(header.name, None)
                if expected is None:
                    raise MalformedError("is not in the manifest")
                if header.size != expected.size:
                    raise MalformedError(
                        f"has {header.size} bytes, and the manifest says {expected.size}"
                    )
                data = _body(self._stream, header.size)
                if hashlib.sha256(data).hexdigest() != expected.sha256:
                    raise MalformedError("does not match its SHA-256 in the manifest")
            yield Member(header.name, data, expected.sha256)
        if missing:
            raise MalformedError("is in the manifest, but not in the archive", member=min(missing))
        self._stream.expect_zeros_to_the_end(tarfile.RECORDSIZE)


@contextmanager
def open_archive(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[OpenArchive]:
    """Opens an archive for one pass over its members.

    Raises:
        ArchiveError: From here or from the pass: the file is missing, unreadable, damaged, lies
            about itself, or exceeds a bound. It names the archive and the member.
    """
    with in_archive(path), _regular_file(path) as raw:
        yield OpenArchive(BoundedStream(raw, limits.total_bytes), limits)


def read_manifest(path: Path, limits: Limits = DEFAULT_LIMITS) -> Manifest:
    """Returns what an archive says of itself, without reading (or checking) what follows.

    Raises:
        ArchiveError: The file has no readable manifest.
    """
    with open_archive(path, limits) as archive:
        return archive.manifest


@contextmanager
def _regular_file(path: Path) -> Iterator[BinaryIO]:
    # Without O_NONBLOCK a FIFO that stands in the file's place would block for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as raw:  # noqa: PTH123  # a descriptor, not a path
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise MalformedError("is no regular file")
        yield raw


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")


def _next_header(stream: BoundedStream, limits: Limits) -> tarfile.TarInfo | None:
    block = stream.read(_BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except tarfile.HeaderError as error:
        if not any(block):
            return None
        raise MalformedError(f"has a damaged tar header: {error}") from error
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type, "of an unknown type")
        raise MalformedError(f"is {kind}; only regular files are read", member=info.name[:100])
    cap = byte_cap(info.name)
    if cap is None:
        raise MalformedError("no archive has a member of this name", member=info.name[:100])
    cap = min(cap, limits.member_bytes)
    if not 0 <= info.size <= cap:
        raise MalformedError(f"claims {info.size} bytes; at most {cap} are read", member=info.name)
    return info


def _body(stream: BoundedStream, size: int) -> bytes:
    data = stream.read(size)
    if any(stream.read(_padding(size))):
        raise MalformedError("is followed by bytes where its padding should be")
    return data


def _padding(size: int) -> int:
    return -size % _BLOCK
