import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import CascadeError, DataError, MemoryGateReached
from cascade_operator.traces import umap_client
from cascade_operator.traces.reduction import Reducer, fit_reduce


def rows(n, width=16, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_pca_keeps_the_distances_that_the_data_has():
    plane = np.zeros((50, 16), np.float32)
    plane[:, :3] = rows(50, 3)
    _, y = fit_reduce(plane, "PCA", dims=3)
    distances = [np.linalg.norm(z[:, None] - z[None], axis=2) for z in (plane, y)]
    np.testing.assert_allclose(*distances, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_fewer_rows_than_dimensions_leave_the_rest_zero(n):
    reducer, y = fit_reduce(rows(n), "PCA", dims=8)
    assert y.shape == (n, 8)
    assert not y[:, n:].any()
    np.testing.assert_array_equal(reducer.transform(rows(n)), y)


@pytest.mark.parametrize("method", ["PCA", "Matryoshka", "UMAP"])
@pytest.mark.parametrize("n", [1, 2, 20])
def test_identical_records_are_fine(method, n):
    x = np.repeat(rows(1), n, axis=0)
    _, y = fit_reduce(x, method, dims=8)
    assert np.isfinite(y).all()
    assert (y == y[0]).all()


def test_few_distinct_rows_get_pca_instead_of_umap():
    reducer, y = fit_reduce(rows(9), "UMAP", dims=4)
    assert reducer.method == "PCA"
    np.testing.assert_array_equal(y, fit_reduce(rows(9), "PCA", dims=4)[1])


def test_matryoshka_is_the_beginning_rescaled():
    x = rows(5)
    _, y = fit_reduce(x, "Matryoshka", dims=4)
    np.testing.assert_allclose(
        y, x[:, :4] / np.linalg.norm(x[:, :4], axis=1, keepdims=True), rtol=1e-6
    )
    zero = np.zeros((1, 16), np.float32)
    assert not fit_reduce(zero, "Matryoshka", dims=4)[1].any()


@pytest.mark.parametrize("method", ["PCA", "Matryoshka"])
@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_a_saved_reducer_does_the_same(method, n, dims, seed):
    reducer, y = fit_reduce(rows(n, seed=seed), method, dims=dims, seed=seed)
    again = Reducer.load(reducer.save_npz())
    assert (again.method, again.dims, again.width, again.seed) == (method, dims, 16, seed)
    np.testing.assert_array_equal(again.transform(rows(n, seed=seed)), y)
    single = np.concatenate([again.transform(row[None]) for row in rows(n, seed=seed)])
    np.testing.assert_allclose(single, y, atol=1e-5)


def umap_like(n=60):
    x = rows(n)
    places = np.random.default_rng(1).standard_normal((n, 4)).astype(np.float32)
    arrays = {"train": x.astype(np.float16), "embedding": places}
    return Reducer("UMAP", 4, 16, 42, arrays), x, places


def test_out_of_sample_rows_of_the_fit_go_where_the_fit_put_them():
    reducer, x, places = umap_like()
    np.testing.assert_allclose(reducer.transform(x), places, atol=1e-5)
    again = Reducer.load(reducer.save_npz())
    np.testing.assert_array_equal(again.transform(x), reducer.transform(x))


def test_out_of_sample_rows_lie_among_their_neighbours_whatever_the_batch():
    reducer, x, places = umap_like()
    new = x[:3] + 0.05 * rows(3, seed=9)
    together = reducer.transform(new)
    alone = np.concatenate([reducer.transform(row[None]) for row in new])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    nearest = np.argsort(np.linalg.norm(x[None] - new[:, None], axis=2), axis=1)[:, :5]
    for row, five in zip(together, nearest, strict=True):
        assert (row >= places[five].min(axis=0) - 1e-5).all()
        assert (row <= places[five].max(axis=0) + 1e-5).all()
    assert reducer.transform(np.empty((0, 16), np.float32)).shape == (0, 4)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_reducer_is_a_clean_error(data):
    good = bytearray(umap_like(12)[0].save_npz())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    try:
        reducer = Reducer.load(bytes(good[:cut] if cut % 2 else good))
    except DataError:
        return
    assert reducer.transform(rows(2)).shape == (2, 4)


def test_no_pickle_is_read(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, head=np.array([{"a": 1}], object))
    with pytest.raises(DataError, match="cannot be read"):
        Reducer.load(path.read_bytes())


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.zeros((0, 4), np.float32), "nothing"),
        (np.full((2, 4), np.nan, np.float32), "NaN"),
        (np.zeros(4, np.float32), "shape"),
    ],
)
def test_unusable_input(x, reason):
    with pytest.raises(ValueError, match=reason):
        fit_reduce(x, "PCA")


def test_an_unknown_method():
    with pytest.raises(ValueError, match="TSNE"):
        fit_reduce(rows(3), "TSNE")


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        (-9, MemoryGateReached, "memory"),
        (1, CascadeError, "the last line"),
    ],
)
def test_a_failure_of_the_process(monkeypatch, code, error, reason):
    def run(command, **kwargs):
        return subprocess.CompletedProcess(command, code, b"", b"trace\nthe last line\n")

    monkeypatch.setattr(umap_client.subprocess, "run", run)
    with pytest.raises(error, match=reason) as caught:
        fit_reduce(rows(20), "UMAP", dims=4)
    assert "PCA" in caught.value.mend


@pytest.mark.process
def test_umap_runs_in_a_process_of_its_own(monkeypatch):
    # Compiling takes numba 10 to 40 s; a dozen rows are faster in plain Python.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    # Fewer rows than dimensions + 2: the spectral start would fail.
    x = np.concatenate([rows(12), rows(2)])
    with ThreadPoolExecutor() as pool:
        fits = [pool.submit(fit_reduce, x, "UMAP", dims=11, seed=3) for _ in range(2)]
        (reducer, y), (_, again) = [fit.result() for fit in fits]
    assert reducer.method == "UMAP"
    assert y.shape == (14, 11)
    assert np.isfinite(y).all()
    assert len(np.unique(y, axis=0)) == 12
    np.testing.assert_array_equal(y[:2], y[12:])
    np.testing.assert_allclose(reducer.transform(x), y, atol=1e-4)
    np.testing.assert_array_equal(again, y)
