"""An archive's container against gzip -9 of the same members."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np

from bench.figure import Figure, paired_medians
from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.container import write_container
from cascade_operator.archive.manifest import Manifest

COMMAND = "python -m bench archive_container"


def measure() -> list[Figure]:
    generator = np.random.default_rng(42)
    matrix = generator.standard_normal((2000, 2, 256)).astype(np.float16).tobytes()
    contents = {f"54_io_matrix/node-{i}.parquet": matrix for i in range(4)}
    contents["44_candidates.json"] = b'{"instructions": "Choose the function."}' * 500
    manifest = Manifest(
        session_id="20260101T000000Z",
        namespace="bench",
        session="bench",
        group_size=1,
        sizes=(1,),
        progressive=False,
        recipe="bench",
        members={},
    )

    def zstd() -> int:
        out = io.BytesIO()
        write_container(out, manifest, dict(contents), Compression.ZSTD)
        return out.tell()

    def gz() -> int:
        out = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, data in sorted(contents.items()):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.tell()

    slow, quick = paired_medians(gz, zstd, rounds=3)
    return [
        Figure("archive: gzip -9 time over the container's", slow / quick, 10, True, COMMAND),
        Figure("archive: the container's size over gzip -9's", zstd() / gz(), 1.01, False, COMMAND),
    ]
