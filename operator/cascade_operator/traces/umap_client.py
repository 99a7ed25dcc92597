"""Runs UMAP in a process of its own: its import takes seconds, and 330 MB to be given back."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cascade_operator.api.errors import CascadeError, MemoryGateReached

COMPILED: Final = "CASCADE_NUMBA_CACHE"
"""The variable that names a folder of code which an image has compiled beforehand."""

_TIMEOUT_SECONDS: Final = 3600.0
_INSTEAD: Final = "Set spec.models.reduction.method to PCA, or give prepare more memory."


def fit_umap(
    x: NDArray[np.float32], *, dims: int, seed: int, neighbours: int, scratch: str | None = None
) -> NDArray[np.float32]:
    """Fits UMAP on distinct rows, and returns where they went.

    Args:
        x: float32 ``[n, width]``, n at least 3.
        dims: Length of the reduced vectors.
        seed: Makes the result repeatable (and the fit single-threaded).
        neighbours: 2 to n - 1.
        scratch: Where numba keeps what it compiled, if the environment names no place.

    Returns:
        float32 ``[n, dims]``, finite.

    Raises:
        MemoryGateReached: The process was killed, which the kernel does when memory ends.
        CascadeError: It failed or took longer than an hour.
    """
    question = io.BytesIO()
    np.save(question, x, allow_pickle=False)
    command = [
        sys.executable, "-m", "cascade_operator.traces.umap_process",
        "--dims", str(dims), "--seed", str(seed), "--neighbours", str(neighbours),
        "--parent", str(os.getpid()),
    ]  # fmt: skip
    # numba needs a writable place even to be imported, and a container has no home.
    cache = os.path.join(scratch or tempfile.gettempdir(), "numba")  # noqa: PTH118
    environment = {"NUMBA_CACHE_DIR": cache, **os.environ}
    _fill_cache(Path(environment["NUMBA_CACHE_DIR"]))
    try:
        done = subprocess.run(
            command,
            input=question.getvalue(),
            capture_output=True,
            check=False,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CascadeError(f"UMAP took over {_TIMEOUT_SECONDS:.0f} s", mend=_INSTEAD) from None
    if done.returncode == -signal.SIGKILL:
        raise MemoryGateReached("UMAP's process was killed: memory has run out", mend=_INSTEAD)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CascadeError(
            f"UMAP failed (exit code {done.returncode}): {lines[-1][:300]}", mend=_INSTEAD
        )
    y = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    if y.shape != (len(x), dims) or not np.isfinite(y).all():
        raise CascadeError(f"UMAP gave {y.shape} values that cannot be used", mend=_INSTEAD)
    return np.asarray(y, np.float32)


def _fill_cache(cache: Path) -> None:
    """Copies what the image has compiled to where numba looks.

    numba reads from no folder that it may not write to.
    """
    compiled = os.environ.get(COMPILED)
    if compiled and Path(compiled).is_dir() and not cache.exists():
        shutil.copytree(compiled, cache)
