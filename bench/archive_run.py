"""A whole run's archives, written and restored, against the same in gzip."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.archived_run import archived_run
from bench.figure import Figure
from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.container import write_container
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.encoding import encode
from cascade_operator.archive.manifest import Manifest
from cascade_operator.archive.model import NodeMatrices, RunArchive, combine
from cascade_operator.archive.reader import KnownMatrices, read_archive
from cascade_operator.archive.writer import ArchiveFile, write_archives

COMMAND = "python -m bench archive_run"
_TRACES = 4000
_ROUNDS = 3
_SIZES = (1, 2, 3, 4)


def measure() -> list[Figure]:
    run = archived_run(_TRACES)
    part = run.of_size(2, _SIZES)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        return [*_container(part), *_whole(run, folder), *_plain(run, folder)]


def _container(part: RunArchive) -> list[Figure]:
    members = encode(part)
    manifest = Manifest(
        session_id=part.session_id,
        namespace=part.namespace,
        session=part.session,
        group_size=part.group_size,
        sizes=part.sizes,
        progressive=False,
        recipe=part.recipe,
        members={},
    )

    def ours() -> bytes:
        out = io.BytesIO()
        write_container(out, manifest, members, Compression.ZSTD)
        return out.getvalue()

    with _timed() as slow:
        plain = _tar_gz(members)
    times = []
    for _ in range(5):
        with _timed() as quick:
            written = ours()
        times.append(quick[0])
    return [
        Figure(
            "archive: plain tar.gz's time over the container's, the same members",
            slow[0] / statistics.median(times), 10, True, COMMAND,
        ),
        Figure(
            "archive: the container's size over the plain tar.gz's",
            len(written) / len(plain), 1.01, False, COMMAND,
        ),
    ]  # fmt: skip


def _whole(run: RunArchive, folder: Path) -> list[Figure]:
    taken: dict[tuple[str, Compression], list[float]] = {}
    files: dict[Compression, list[ArchiveFile]] = {}
    digests = []
    with TableDecoder() as decoder:
        write_archives(archived_run(50), _empty(folder / "warm"), decoder=decoder)
        for number in range(_ROUNDS):
            for form in Compression:
                root = _empty(folder / f"{form}{number}")
                with _timed() as spent:
                    files[form] = write_archives(run, root, form, decoder=decoder)
                taken.setdefault(("write", form), []).append(spent[0])
                with _timed() as spent:
                    _restore(root, files[form], decoder)
                taken.setdefault(("restore", form), []).append(spent[0])
                if form is Compression.ZSTD:
                    digests.append(tuple(file.sha256 for file in files[form]))
                shutil.rmtree(root)
    medians = {key: statistics.median(times) for key, times in taken.items()}
    sizes = {form: sum(file.bytes for file in written) for form, written in files.items()}

    def over(what: str) -> float:
        return medians[what, Compression.GZIP] / medians[what, Compression.ZSTD]

    return [
        Figure(
            "archive: a run's files written and read back, in gzip over zstd",
            over("write"), 4, True, COMMAND,
        ),
        Figure(
            "archive: the same files restored and verified, in gzip over zstd (both hold packed "
            "tables, which gzip only stores)",
            over("restore"), None, True, COMMAND,
        ),
        Figure(
            "archive: size in zstd over gzip",
            sizes[Compression.ZSTD] / sizes[Compression.GZIP], 1.01, False, COMMAND,
        ),
        Figure(
            "archive: written twice, the same bytes (1 for yes)",
            float(len(set(digests)) == 1), 1, True, COMMAND,
        ),
    ]  # fmt: skip


def _plain(run: RunArchive, folder: Path) -> list[Figure]:
    """What a team without a format of its own would write: one tar.gz of arrays a group size."""
    matrices: dict[str, bytes] = {}
    for node, found in run.io_matrices.items():
        matrices |= _arrays(node, found)
    packed = []
    for size in _SIZES:
        members = encode(run.of_size(size, _SIZES))
        plain = {name: data for name, data in members.items() if not name.endswith(".parquet")}
        plain |= matrices
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in plain.items()}
        packed.append((_tar_gz(plain), digests))
    root = _empty(folder / "plain")
    times: tuple[list[float], list[float]] = ([], [])
    with TableDecoder() as decoder:
        files = write_archives(run, root, Compression.ZSTD, decoder=decoder)
        for _ in range(_ROUNDS):
            with _timed() as spent:
                for data, digests in packed:
                    _restore_plain(data, digests)
            times[0].append(spent[0])
            with _timed() as spent:
                _restore(root, files, decoder)
            times[1].append(spent[0])
    return [
        Figure(
            "archive: a run restored and verified from plain tar.gz of its arrays, over ours",
            statistics.median(times[0]) / statistics.median(times[1]), 3, True, COMMAND,
        ),
        Figure(
            "archive: its size over the size of those tar.gz",
            sum(file.bytes for file in files) / sum(len(data) for data, _ in packed),
            1.01, False, COMMAND,
        ),
    ]  # fmt: skip


def _restore(root: Path, files: list[ArchiveFile], decoder: TableDecoder) -> RunArchive:
    known: KnownMatrices = {}
    return combine([read_archive(root / file.path, decoder=decoder, known=known) for file in files])


def _restore_plain(packed: bytes, digests: Mapping[str, str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        for info in tar:
            found = tar.extractfile(info)
            data = b"" if found is None else found.read()
            if hashlib.sha256(data).hexdigest() != digests[info.name]:
                raise ValueError(info.name)
            if info.name.endswith(".npy"):
                np.load(io.BytesIO(data), allow_pickle=False)
            elif info.name.endswith(".json"):
                json.loads(data)


def _arrays(node: str, matrices: NodeMatrices) -> dict[str, bytes]:
    named = {
        "in_red": matrices.in_red,
        "in_raw": matrices.in_raw,
        "out_red": matrices.out_red,
        "out_raw": matrices.out_raw,
        "validated_raw": matrices.validated_raw,
    }
    return {f"{node}/{name}.npy": _npy(array) for name, array in named.items() if array is not None}


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _tar_gz(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def _timed() -> Iterator[list[float]]:
    spent: list[float] = []
    begin = time.perf_counter()
    yield spent
    spent.append(time.perf_counter() - begin)
