"""UMAP's own process: an npy array comes in on stdin, the reduced one goes out on stdout."""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import signal
import sys

import numpy as np

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fits UMAP on the rows from stdin (float32 ``[n, width]``) and writes ``[n, dims]``."""
    parser = argparse.ArgumentParser(prog="umap_process")
    for name in ("--dims", "--seed", "--neighbours", "--parent"):
        parser.add_argument(name, type=int, required=True)
    args = parser.parse_args()
    _end_with(args.parent)
    # Whatever a library prints must not get between the bytes of the answer.
    answer_to = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    x = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)

    import umap  # noqa: PLC0415 - seconds; a wrong argument should not have to wait for them

    # The spectral start needs two rows more than dimensions (scipy's eigh fails below that).
    start = "spectral" if len(x) >= args.dims + 2 else "random"
    reducer = umap.UMAP(
        n_components=args.dims,
        n_neighbors=args.neighbours,
        min_dist=0.1,
        metric="cosine",
        init=start,
        random_state=args.seed,
        n_jobs=1,
    )
    answer = io.BytesIO()  # numpy asks a file for its position, which a pipe has none of
    np.save(answer, np.asarray(reducer.fit_transform(x), np.float32), allow_pickle=False)
    with answer_to:
        answer_to.write(answer.getvalue())


def _end_with(parent: int) -> None:
    """Has the kernel end this process with the one that waits for it, minutes before it is done."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    main()
