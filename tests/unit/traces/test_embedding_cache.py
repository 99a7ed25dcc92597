import multiprocessing
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from cascade_operator.traces.embedding_cache import CachedEmbedder


class CountingEmbedder:
    """Gives each text a vector of its own and keeps what it was asked."""

    def __init__(self, recipe="r", dimensions=4):
        self.recipe = recipe
        self.dimensions = dimensions
        self.asked = []

    def embed(self, texts):
        self.asked.append(list(texts))
        return np.array(
            [[len(text), *map(float, text.encode()[:1]), 0.1, 1 / 3][: self.dimensions]
             for text in texts],
            np.float32,
        ).reshape(len(texts), self.dimensions)  # fmt: skip


def files(folder: Path):
    (inner,) = folder.iterdir()
    return inner / "keys.bin", inner / "vectors.f32"


def test_each_text_is_embedded_once_over_all_runs(tmp_path):
    first = CachedEmbedder(CountingEmbedder(), tmp_path)
    before = first.embed(["a", "bb", "a"])
    inner = CountingEmbedder()
    second = CachedEmbedder(inner, tmp_path)
    after = second.embed(["bb", "a", "ccc"])
    assert inner.asked == [["ccc"]]
    np.testing.assert_array_equal(after[:2], before[[1, 0]])
    assert (first.hits, first.misses) == (0, 2)
    assert (second.hits, second.misses) == (2, 1)


def test_texts_are_asked_for_in_batches_that_are_kept_one_by_one(tmp_path):
    class FailsAtTheSecond(CountingEmbedder):
        def embed(self, texts):
            if self.asked:
                raise ConnectionError("gone")
            return super().embed(texts)

    cache = CachedEmbedder(FailsAtTheSecond(), tmp_path)
    with pytest.raises(ConnectionError):
        cache.embed([f"text {n}" for n in range(100)])
    inner = CountingEmbedder()
    CachedEmbedder(inner, tmp_path).embed([f"text {n}" for n in range(100)])
    assert [len(batch) for batch in inner.asked] == [36]


def test_recipes_and_dimensions_do_not_mix(tmp_path):
    for recipe, dimensions in [("r", 4), ("r/", 4), ("r", 2)]:
        inner = CountingEmbedder(recipe, dimensions)
        assert CachedEmbedder(inner, tmp_path).embed(["a"]).shape == (1, dimensions)
        assert inner.asked == [["a"]]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("keys_cut", [0, 1, 35, 36, 40, 108])
@pytest.mark.parametrize("vectors_cut", [0, 1, 16, 20])
def test_a_torn_end_costs_only_its_rows(tmp_path, keys_cut, vectors_cut):
    texts = ["a", "bb", "ccc"]
    expected = CachedEmbedder(CountingEmbedder(), tmp_path).embed(texts)
    for path, cut in zip(files(tmp_path), (keys_cut, vectors_cut), strict=True):
        os.truncate(path, path.stat().st_size - cut)
    inner = CountingEmbedder()
    np.testing.assert_array_equal(CachedEmbedder(inner, tmp_path).embed(texts), expected)
    lost = max(-(-keys_cut // 36), -(-vectors_cut // 16))
    assert inner.asked == ([texts[3 - lost :]] if lost else [])
    last = CountingEmbedder()
    np.testing.assert_array_equal(CachedEmbedder(last, tmp_path).embed(texts), expected)
    assert last.asked == []


def test_a_damaged_vector_is_embedded_anew(tmp_path):
    expected = CachedEmbedder(CountingEmbedder(), tmp_path).embed(["a", "bb"])
    _, vectors = files(tmp_path)
    data = bytearray(vectors.read_bytes())
    data[3] ^= 0xFF
    vectors.write_bytes(data)
    for expected_calls in ([["a"]], []):
        inner = CountingEmbedder()
        found = CachedEmbedder(inner, tmp_path).embed(["a", "bb"])
        np.testing.assert_array_equal(found, expected)
        assert inner.asked == expected_calls


def test_a_vector_that_is_none_is_embedded_anew_whatever_its_checksum(tmp_path):
    CachedEmbedder(CountingEmbedder(), tmp_path).embed(["a"])
    keys, vectors = files(tmp_path)
    block = np.full(4, np.nan, "<f4").tobytes()
    vectors.write_bytes(block)
    keys.write_bytes(keys.read_bytes()[:32] + zlib.crc32(block).to_bytes(4, "little"))
    inner = CountingEmbedder()
    assert np.isfinite(CachedEmbedder(inner, tmp_path).embed(["a"])).all()
    assert inner.asked == [["a"]]


def test_two_open_caches_see_each_others_rows(tmp_path):
    one, two = CountingEmbedder(), CountingEmbedder()
    first, second = CachedEmbedder(one, tmp_path), CachedEmbedder(two, tmp_path)
    first.embed(["a"])
    second.embed(["bb"])
    first.embed(["bb", "ccc"])
    second.embed(["a", "ccc"])
    assert (one.asked, two.asked) == ([["a"], ["ccc"]], [["bb"]])


def test_a_volume_that_takes_nothing_is_counted_not_raised(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    cache = CachedEmbedder(CountingEmbedder(), blocked)
    assert cache.embed(["a"]).shape == (1, 4)
    assert cache.refused_writes == 1


def test_the_cache_stops_to_grow_at_its_bound(tmp_path):
    cache = CachedEmbedder(CountingEmbedder(), tmp_path, max_rows=2)
    cache.embed(["a", "bb"])
    cache.embed(["ccc"])
    keys, vectors = files(tmp_path)
    assert (keys.stat().st_size, vectors.stat().st_size) == (72, 32)


def _embed_in_another_process(folder, start):
    CachedEmbedder(CountingEmbedder(), folder).embed([f"{n:03}" for n in range(start, start + 200)])


@pytest.mark.process
def test_two_processes_may_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_embed_in_another_process, args=(tmp_path, start))
        for start in (0, 100)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    inner = CountingEmbedder()
    texts = [f"{n:03}" for n in range(300)]
    found = CachedEmbedder(inner, tmp_path).embed(texts)
    assert inner.asked == []
    np.testing.assert_array_equal(found, CountingEmbedder().embed(texts))
    keys, _ = files(tmp_path)
    assert keys.stat().st_size == 300 * 36
