"""Stage 50: a run as the members of its archives; what all its files hold is encoded once."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from cascade_operator.api.canonical import canonical_json
from cascade_operator.archive import members
from cascade_operator.archive.arrays import dump_posterior
from cascade_operator.archive.members import group_name, matrix_name
from cascade_operator.archive.model import GroupArchive, NodeMatrices, RunArchive
from cascade_operator.archive.tables import dump_split, dump_trials, write_matrices

_STEP: Final = members.MIB


class FilePart:
    """A member's bytes in an open file.

    Attributes:
        sha256: Their digest, in hexadecimal.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        digest = hashlib.sha256()
        for part in self:
            digest.update(part)
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Yields the bytes, 1 MiB at a time.

        Raises:
            OSError: The file cannot be read.
        """
        place = 0
        while place < self._size:
            step = os.pread(self._file.fileno(), min(_STEP, self._size - place), place)
            if not step:
                raise OSError(errno.EIO, "a temporary file of the archive ended early")
            place += len(step)
            yield step


Contents = bytes | FilePart
"""A member's bytes."""


class RunMembers:
    """The members that every file of a run has. Matrices, which are most of them, wait on disk.

    Use it as a context manager: at its end the files are gone, also when the process is killed,
    since they never have a name.
    """

    def __init__(self, run: RunArchive, folder: Path) -> None:
        """Encodes them.

        Args:
            run: The run. Its matrices are asked for one node at a time.
            folder: Where the temporary files lie: the archives' own volume has the room.

        Raises:
            MalformedError: Matrices that do not fit their records.
            OSError: The volume refuses.
        """
        self.contents: dict[str, Contents] = {
            members.CONFIG: run.config_json,
            members.SPLIT: dump_split(run.split),
            members.CANDIDATES: run.candidates_json,
        }
        if run.reducer_npz is not None:
            self.contents[members.REDUCER] = run.reducer_npz
        for name in members.DOCUMENTS:
            if name in run.documents:
                self.contents[name] = run.documents[name]
        self._files: list[IO[bytes]] = []
        try:
            for node in run.io_matrices:
                self.contents[matrix_name(node)] = self._keep(run.io_matrices[node], folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets the files go."""
        for file in self._files:
            file.close()

    def _keep(self, matrices: NodeMatrices, folder: Path) -> FilePart:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - close does it
        self._files.append(file)
        write_matrices(matrices, file)
        file.flush()
        return FilePart(file, os.fstat(file.fileno()).st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def encode_groups(run: RunArchive) -> dict[str, Contents]:
    """Returns the members of a run's groups."""
    contents: dict[str, Contents] = {}
    for group in run.groups.values():
        contents |= _encode_group(group, progressive=run.progressive)
    return contents


def _encode_group(group: GroupArchive, *, progressive: bool) -> dict[str, bytes]:
    result = {"progressive": progressive, "result": dict(group.result)}
    files = {
        members.CHECKPOINT: group.checkpoint_json,
        members.POSTERIOR: dump_posterior(group.posterior),
        members.TRIALS: dump_trials(group.trials),
        members.MAPPING: canonical_json(group.mapping).encode(),
        members.RESULT: canonical_json(result).encode(),
    }
    if group.program_json is not None:
        files[members.PROGRAM] = group.program_json
    return {group_name(group.key, file): data for file, data in files.items()}


def encode(run: RunArchive) -> dict[str, bytes]:
    """Returns the members of an archive in memory, without its manifest.

    Raises:
        MalformedError: Matrices that do not fit their records.
    """
    with RunMembers(run, Path(tempfile.gettempdir())) as shared:
        whole = shared.contents | encode_groups(run)
        return {
            name: data if isinstance(data, bytes) else b"".join(data)
            for name, data in whole.items()
        }
