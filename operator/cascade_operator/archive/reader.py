"""Stages 52 and 55: reads archives back, and says whether one can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cascade_operator.archive import members
from cascade_operator.archive.arrays import check_npz, load_posterior
from cascade_operator.archive.container import Member, OpenArchive, open_archive
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.documents import parse_json, parse_object
from cascade_operator.archive.errors import ArchiveError, MalformedError, in_member
from cascade_operator.archive.manifest import Manifest, MemberInfo
from cascade_operator.archive.members import DEFAULT_LIMITS, Limits, group_member, matrix_node
from cascade_operator.archive.model import GroupArchive, NodeMatrices, RunArchive, SplitRow
from cascade_operator.archive.rows import node_matrices, split_rows, trial_rows
from cascade_operator.archive.tables import Columns, TableKind

KnownMatrices = dict[str, NodeMatrices]
"""Matrices by the SHA-256 of the member they came from."""

_REQUIRED = (members.CONFIG, members.SPLIT, members.CANDIDATES)
_GROUP_REQUIRED = (
    members.CHECKPOINT,
    members.POSTERIOR,
    members.TRIALS,
    members.MAPPING,
    members.RESULT,
)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of one archive found.

    Attributes:
        path: The archive.
        members: Those the manifest lists; empty when it could not be read.
        groups: The keys of the groups in it.
        group_size: 0 when it holds no group.
        size: Bytes of the members together.
        progressive: True when the run was not over.
        problems: What is wrong, for a reader; empty when all is well.
    """

    path: Path
    members: tuple[MemberInfo, ...] = ()
    groups: tuple[str, ...] = ()
    group_size: int = 0
    size: int = 0
    progressive: bool = False
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the archive can be restored from."""
        return not self.problems


def read_archive(
    path: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    decoder: TableDecoder | None = None,
    nodes: Collection[str] | None = None,
    known: KnownMatrices | None = None,
) -> RunArchive:
    """Reads one archive into memory, every member's digest checked.

    Args:
        path: The file; it may come from anyone.
        limits: The most that is accepted.
        decoder: Decodes the tables; give one to read many archives, since it starts a process.
        nodes: Whose matrices are wanted, which are most of an archive; all by default.
        known: Matrices by digest, for reading a run's files, which hold the same: those found in
            it are not decoded again, and others are added.

    Raises:
        ArchiveError: The archive is missing, damaged, or breaks a rule; it names the member.
    """
    with open_archive(path, limits) as archive, _tables(decoder, limits) as tables:
        seen = {} if known is None else known

        def matrices(member: Member) -> NodeMatrices:
            if member.sha256 not in seen:
                seen[member.sha256] = tables.matrices(member.data)
            return seen[member.sha256]

        return _decode(archive, tables, matrices, nodes)


def read_document(path: Path, name: str, limits: Limits = DEFAULT_LIMITS) -> bytes | None:
    """Returns one of the archive's ``DOCUMENTS``, its digest checked; None where it has none.

    What follows it in the archive is not read.

    Raises:
        ArchiveError: As ``list_members``.
    """
    with open_archive(path, limits) as archive:
        if name not in archive.manifest.members:
            return None
        return next((member.data for member in archive.members() if member.name == name), None)


def list_members(path: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[MemberInfo, ...]:
    """Returns the members in the archive's order, once each one's digest was found right.

    Raises:
        ArchiveError: As ``read_archive``, but contents are not looked into.
    """
    with open_archive(path, limits) as archive:
        return tuple(archive.manifest.members[member.name] for member in archive.members())


def verify_archive(
    path: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    decoder: TableDecoder | None = None,
    verified: set[str] | None = None,
) -> VerifyReport:
    """Checks an archive whole: container, digests and the contents of every member.

    Args:
        path: The file; it may come from anyone.
        limits: The most that is accepted.
        decoder: Decodes the tables; give one to check many archives, since it starts a process.
        verified: Digests of matrices that were decoded already, for checking a run's files, which
            hold the same: bytes with one of them are right, and others are added.
    """
    seen = set() if verified is None else verified
    manifest: Manifest | None = None
    problems: tuple[str, ...] = ()
    try:
        with open_archive(path, limits) as archive, _tables(decoder, limits) as tables:
            manifest = archive.manifest

            def matrices(member: Member) -> None:
                if member.sha256 not in seen:
                    tables.matrices(member.data)
                    seen.add(member.sha256)

            _decode(archive, tables, matrices, None)
    except ArchiveError as error:
        problems = (str(error),)
    if manifest is None:
        return VerifyReport(path, problems=problems)
    infos = tuple(sorted(manifest.members.values(), key=lambda info: info.name))
    keys = {member.key for info in infos if (member := group_member(info.name))}
    return VerifyReport(
        path=path,
        members=infos,
        groups=tuple(sorted(keys)),
        group_size=manifest.group_size,
        size=sum(info.size for info in infos),
        progressive=manifest.progressive,
        problems=problems,
    )


class _Tables:
    """Decodes the tables of one archive under one reader's limits."""

    def __init__(self, decoder: TableDecoder, limits: Limits) -> None:
        self._decoder = decoder
        self._limits = limits

    def columns(self, kind: TableKind, data: bytes) -> Columns:
        return self._decoder.decode(kind, data, self._limits)

    def matrices(self, data: bytes) -> NodeMatrices:
        return node_matrices(self.columns(TableKind.MATRICES, data))


@contextmanager
def _tables(decoder: TableDecoder | None, limits: Limits) -> Iterator[_Tables]:
    if decoder is not None:
        yield _Tables(decoder, limits)
        return
    with TableDecoder() as own:
        yield _Tables(own, limits)


def _decode(
    archive: OpenArchive,
    tables: _Tables,
    matrices: Callable[[Member], NodeMatrices | None],
    nodes: Collection[str] | None,
) -> RunArchive:
    manifest = archive.manifest
    contents: dict[str, bytes] = {}
    io_matrices: dict[str, NodeMatrices] = {}
    for member in archive.members():
        node = matrix_node(member.name)
        if node is None:
            contents[member.name] = member.data
        elif nodes is None or node in nodes:
            # As they come: a run's matrices, packed and unpacked, are more than a Job has.
            with in_member(member.name):
                found = matrices(member)
            if found is not None:
                io_matrices[node] = found
    for name in _REQUIRED:
        if name not in contents:
            raise MalformedError("is missing", member=name)
    for name in (members.CONFIG, members.CANDIDATES):
        with in_member(name):
            parse_json(contents[name])
    with in_member(members.SPLIT):
        split = split_rows(tables.columns(TableKind.SPLIT, contents[members.SPLIT]))
    reducer = contents.get(members.REDUCER)
    if reducer is not None:
        with in_member(members.REDUCER):
            check_npz(reducer)
    documents = {name: contents[name] for name in members.DOCUMENTS if name in contents}
    for name, data in documents.items():
        with in_member(name):
            parse_object(data)
    return RunArchive(
        config_json=contents[members.CONFIG],
        session_id=manifest.session_id,
        namespace=manifest.namespace,
        session=manifest.session,
        progressive=manifest.progressive,
        split=split,
        candidates_json=contents[members.CANDIDATES],
        groups=_groups(manifest, contents, split, tables),
        io_matrices=io_matrices,
        reducer_npz=reducer,
        recipe=manifest.recipe,
        group_size=manifest.group_size,
        sizes=manifest.sizes,
        documents=documents,
    )


def _groups(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    split: tuple[SplitRow, ...],
    tables: _Tables,
) -> dict[str, GroupArchive]:
    files: dict[str, dict[str, bytes]] = {}
    for name, data in contents.items():
        member = group_member(name)
        if member is None:
            continue
        if member.size != manifest.group_size:
            raise MalformedError(
                f"is of a group of {member.size}, in an archive of groups of {manifest.group_size}",
                member=name,
            )
        files.setdefault(member.key, {})[member.file] = data
    rows = sum(row.split == "validation" for row in split)
    return {
        key: _group(key, files[key], rows, tables, progressive=manifest.progressive)
        for key in sorted(files)
    }


def _group(
    key: str, files: Mapping[str, bytes], rows: int, tables: _Tables, *, progressive: bool
) -> GroupArchive:
    for file in _GROUP_REQUIRED:
        if file not in files:
            raise MalformedError("is missing", member=members.group_name(key, file))
    for file in (members.CHECKPOINT, members.PROGRAM):
        if file in files:
            with in_member(members.group_name(key, file)):
                parse_json(files[file])
    with in_member(members.group_name(key, members.POSTERIOR)):
        posterior = load_posterior(files[members.POSTERIOR], rows)
    with in_member(members.group_name(key, members.TRIALS)):
        trials = trial_rows(tables.columns(TableKind.TRIALS, files[members.TRIALS]))
    with in_member(members.group_name(key, members.MAPPING)):
        nodes = _nodes(key, parse_object(files[members.MAPPING]))
    with in_member(members.group_name(key, members.RESULT)):
        result = parse_object(files[members.RESULT])
        if result.get("progressive") is not progressive or not isinstance(
            result.get("result"), dict
        ):
            raise MalformedError("contradicts the manifest on whether the run was over")
    return GroupArchive(
        key=key,
        nodes=nodes,
        checkpoint_json=files[members.CHECKPOINT],
        posterior=posterior,
        trials=trials,
        program_json=files.get(members.PROGRAM),
        result=result["result"],
    )


def _nodes(key: str, mapping: Mapping[str, object]) -> tuple[str, ...]:
    positions = key.split("_")
    names = [mapping.get(position) for position in positions]
    valid = [name for name in names if isinstance(name, str) and members.NODE_NAME.fullmatch(name)]
    if not len(positions) == len(mapping) == len(set(valid)):
        raise MalformedError(f"names no node for each of the positions {', '.join(positions)}")
    return tuple(valid)
