"""Stages 13 and 14: reduces embeddings, and keeps what is needed to do the same again.

The reduced vectors serve clustering, sampling and diagnosis. Scores are computed on the whole
vectors: cosine over 256 dimensions is measurably better than over 64.
"""

from __future__ import annotations

import io
import json
import logging
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cascade_operator.api.errors import DataError
from cascade_operator.traces.umap_client import fit_umap

_LOG = logging.getLogger("cascade")

Matrix = NDArray[np.float32]

UMAP: Final = "UMAP"
PCA: Final = "PCA"
MATRYOSHKA: Final = "Matryoshka"

_UMAP_MINIMUM: Final = 10
"""Below this many distinct rows a neighbourhood graph says nothing."""

_NEIGHBOURS: Final = 15
_OUT_OF_SAMPLE_NEIGHBOURS: Final = 5
_MAX_NPZ_BYTES: Final = 256 << 20
_QUERY_BLOCK: Final = 256

# zipfile answers noise with any of these, as its bits happen to fall (a compression method that it
# lacks, an encryption flag, a length beyond memory).
_DAMAGE: Final = (
    ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, OverflowError, MemoryError,
    RuntimeError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reducer:
    """A fitted reduction.

    Attributes:
        method: ``UMAP``, ``PCA`` or ``Matryoshka``; what was done, also where it stood in.
        dims: Length of the reduced vectors.
        width: Length of the vectors it takes.
        seed: The seed of the fit.
        arrays: PCA: ``mean[width]``, ``components[dims, width]``. UMAP: the rows it was fitted on,
            ``train[n, width]`` f16, and where they went, ``embedding[n, dims]`` f32.
    """

    method: str
    dims: int
    width: int
    seed: int
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def transform(self, x: Matrix) -> Matrix:
        """Reduces rows that need not have been in the fit.

        For UMAP the result is the mean of the places of the 5 nearest fitted rows, weighted by
        inverse distance: UMAP's own transform depends on which rows come in one call
        and takes 40-80 ms a row. A row of the fit goes where the fit put it.

        Args:
            x: ``[n, width]``.

        Returns:
            float32 ``[n, dims]``.

        Raises:
            ValueError: The rows have another length or are not finite.
        """
        x = _checked(x, self.width)
        if self.method == PCA:
            centred = x - self.arrays["mean"]
            return np.asarray(centred @ self.arrays["components"].T, np.float32)
        if self.method == UMAP:
            train = self.arrays["train"].astype(np.float32)
            lengths = (train**2).sum(1)
            blocks = [
                self._interpolate(x[start : start + _QUERY_BLOCK], train, lengths)
                for start in range(0, len(x), _QUERY_BLOCK)
            ]
            return np.concatenate(blocks) if blocks else np.empty((0, self.dims), np.float32)
        return _slice_and_rescale(x, self.dims)

    def save_npz(self) -> bytes:
        """Returns the reducer as an npz without pickled parts."""
        head = {
            "method": self.method, "dims": self.dims, "width": self.width, "seed": self.seed
        }  # fmt: skip
        file = io.BytesIO()
        text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
        np.savez_compressed(file, head=text, **self.arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> Reducer:
        """Reads what ``save_npz`` wrote; nothing is unpickled and sizes are bounded.

        Raises:
            DataError: The bytes are damaged or are something else.
        """
        try:
            return cls._parse(data)
        except _DAMAGE as error:
            raise _broken(str(error)) from None

    @classmethod
    def _parse(cls, data: bytes) -> Reducer:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if sum(member.file_size for member in members.infolist()) > _MAX_NPZ_BYTES:
                raise ValueError("it unpacks to too many bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(bytes(arrays.pop("head").astype(np.uint8)))
        method, dims, width = head["method"], int(head["dims"]), int(head["width"])
        shapes = {name: array.shape for name, array in arrays.items()}
        rows = len(arrays["train"]) if method == UMAP else 0
        wanted = {
            PCA: {"mean": (width,), "components": (dims, width)},
            UMAP: {"train": (rows, width), "embedding": (rows, dims)},
            MATRYOSHKA: {},
        }[method]
        finite = all(a.dtype.kind == "f" and np.isfinite(a).all() for a in arrays.values())
        if shapes != wanted or not finite or (method == UMAP and not rows):
            raise ValueError(f"its arrays {shapes} are not those of {method}")
        return cls(method, dims, width, int(head["seed"]), arrays)

    def _interpolate(self, x: Matrix, train: Matrix, lengths: Matrix) -> Matrix:
        squares = lengths - 2 * (x @ train.T)  # without x's own length: the same for a whole row
        count = min(_OUT_OF_SAMPLE_NEIGHBOURS, len(train))
        nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
        nearest.sort(axis=1)  # one order, so that sums round one way
        # The expansion above loses digits near 0, where the weights need them.
        distances = np.linalg.norm(train[nearest] - x[:, None], axis=2)
        weights = 1 / np.maximum(distances, 1e-9)
        # f16 moved the fitted rows by about this much: nearer than that is the same row.
        same = distances < 2e-3 * np.maximum(np.linalg.norm(x, axis=1)[:, None], 1e-9)
        weights = np.where(same.any(axis=1, keepdims=True), same * weights, weights)
        weights /= weights.sum(axis=1, keepdims=True)
        places = self.arrays["embedding"][nearest]
        return np.asarray((weights[:, :, None] * places).sum(axis=1), np.float32)


def fit_reduce(
    x: Matrix, method: str = UMAP, dims: int = 64, seed: int = 42, *, scratch: str | None = None
) -> tuple[Reducer, Matrix]:
    """Fits a reduction on rows and reduces them, in one batch.

    With fewer than ten distinct rows PCA stands in for UMAP; with fewer rows than dimensions the
    rest of PCA's dimensions are zero.

    Args:
        x: ``[n, width]``, finite; identical rows are fine.
        method: ``UMAP``, ``PCA`` or ``Matryoshka`` (the leading dimensions, rescaled).
        dims: Length of the reduced vectors.
        seed: One seed and one input give one result.
        scratch: A writable folder for what numba compiles; the system's by default.

    Returns:
        The reducer and float32 ``[n, dims]``.

    Raises:
        ValueError: The input is empty or not finite, or the method is unknown.
        CascadeError: UMAP's process failed.
    """
    x = _checked(x, np.asarray(x).shape[-1])
    if not len(x):
        raise ValueError("there is nothing to reduce")
    if method == UMAP:
        # Equal texts must go to one place, and UMAP would scatter them.
        rows, inverse = np.unique(x, axis=0, return_inverse=True)
        if len(rows) >= _UMAP_MINIMUM:
            y = fit_umap(
                rows, dims=dims, seed=seed, neighbours=min(_NEIGHBOURS, len(rows) - 1),
                scratch=scratch,
            )  # fmt: skip
            arrays: dict[str, NDArray[Any]] = {
                "train": rows.astype(np.float16),
                "embedding": y,
            }
            return Reducer(UMAP, dims, x.shape[1], seed, arrays), y[inverse.reshape(-1)]
        _LOG.warning("PCA stands in for UMAP: there are only %d distinct rows", len(rows))
        method = PCA
    if method == PCA:
        reducer = Reducer(PCA, dims, x.shape[1], seed, _fit_pca(x, dims))
    elif method == MATRYOSHKA:
        reducer = Reducer(MATRYOSHKA, dims, x.shape[1], seed)
    else:
        raise ValueError(f"unknown reduction method {method!r}")
    return reducer, reducer.transform(x)


def _fit_pca(x: Matrix, dims: int) -> dict[str, NDArray[Any]]:
    mean = x.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(x.astype(np.float64) - mean, full_matrices=False)
    kept = directions[:dims]
    # A direction's sign is arbitrary; fix it, so that two machines agree.
    largest = np.abs(kept).argmax(axis=1)
    kept = kept * np.where(kept[np.arange(len(kept)), largest] < 0, -1, 1)[:, None]
    components = np.zeros((dims, x.shape[1]), np.float32)
    components[: len(kept)] = kept
    return {"mean": mean.astype(np.float32), "components": components}


def _slice_and_rescale(x: Matrix, dims: int) -> Matrix:
    kept = np.zeros((len(x), dims), np.float32)
    kept[:, : x.shape[1]] = x[:, :dims]
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    return np.asarray(kept / np.where(lengths > 0, lengths, 1), np.float32)


def _checked(x: Any, width: int) -> Matrix:
    matrix = np.asarray(x, np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise ValueError(f"rows of {width} numbers are needed, not the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("the vectors hold NaN or infinity")
    return matrix


def _broken(why: str) -> DataError:
    return DataError(
        f"the saved reducer cannot be read: {why[:200]}",
        mend="Start a run without the archive it came from (warmStart.policy: None).",
    )
