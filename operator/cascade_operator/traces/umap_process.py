"""UMAP's own process: an npy array comes in on stdin, the reduced one goes out on stdout.

With ``--warm`` it only compiles what UMAP compiles on first use, into ``NUMBA_CACHE_DIR``: run once
as a file where an image is built. It therefore imports nothing of ours.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import signal
import sys

import numpy as np
from numpy.typing import NDArray

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fits UMAP on the rows from stdin (float32 ``[n, width]``) and writes ``[n, dims]``."""
    if sys.argv[1:] == ["--warm"]:
        warm()
        return
    parser = argparse.ArgumentParser(prog="umap_process")
    for name in ("--dims", "--seed", "--neighbours", "--parent"):
        parser.add_argument(name, type=int, required=True)
    args = parser.parse_args()
    _end_with(args.parent)
    # Whatever a library prints must not get between the bytes of the answer.
    answer_to = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    x = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)

    y = fit(x, dims=args.dims, seed=args.seed, neighbours=args.neighbours)
    answer = io.BytesIO()  # numpy asks a file for its position, which a pipe has none of
    np.save(answer, y, allow_pickle=False)
    with answer_to:
        answer_to.write(answer.getvalue())


def fit(
    x: NDArray[np.float32], *, dims: int, seed: int, neighbours: int, approximate: bool = False
) -> NDArray[np.float32]:
    """Fits UMAP in this process; see :func:`~cascade_operator.traces.umap_client.fit_umap`.

    Args:
        x: float32 ``[n, width]``.
        dims: Length of the reduced vectors.
        seed: Makes the result repeatable.
        neighbours: 2 to n - 1.
        approximate: Look for neighbours as UMAP does from 4,096 rows on.
    """
    import umap  # noqa: PLC0415 - seconds; a wrong argument should not have to wait for them

    # The spectral start needs two rows more than dimensions (scipy's eigh fails below that).
    start = "spectral" if len(x) >= dims + 2 else "random"
    reducer = umap.UMAP(
        n_components=dims,
        n_neighbors=neighbours,
        min_dist=0.1,
        metric="cosine",
        init=start,
        random_state=seed,
        n_jobs=1,
        force_approximation_algorithm=approximate,
    )
    return np.asarray(reducer.fit_transform(x), np.float32)


def warm() -> None:
    """Fits noise in each way that UMAP goes: few rows, more than dimensions, thousands."""
    x = np.random.default_rng(0).standard_normal((80, 256)).astype(np.float32)
    for rows, approximate in ((16, False), (80, False), (80, True)):
        fit(x[:rows], dims=64, seed=0, neighbours=15, approximate=approximate)


def _end_with(parent: int) -> None:
    """Has the kernel end this process with the one that waits for it, minutes before it is done."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    main()
