import numpy as np
import pytest

from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.shared_embedding import SharedEmbedder


class CountingEmbedder:
    def __init__(self, recipe="r1", dimensions=4):
        self.recipe, self.dimensions, self.batches = recipe, dimensions, []

    def embed(self, texts):
        self.batches.append(list(texts))
        rows = [[len(t), sum(map(ord, t)) / 7, 0.1, -1] for t in texts]
        return np.array(rows, np.float64)[:, : self.dimensions]


def test_each_text_is_embedded_once_in_one_batch_for_all_jobs(redis_client):
    first, second = CountingEmbedder(), CountingEmbedder()
    computed = []
    one = SharedEmbedder(first, SingleFlightCache(redis_client), "ns", computed.append)
    two = SharedEmbedder(second, SingleFlightCache(redis_client), "ns")
    fresh = one.embed(["a", "b", "a"])
    again = two.embed(["b", "c", "a"])
    assert first.batches == [["a", "b"]]
    assert second.batches == [["c"]]
    assert computed == [2]
    assert fresh.dtype == np.float32
    assert fresh.shape == (3, 4)
    np.testing.assert_array_equal(again[[2, 0]], fresh[:2])
    np.testing.assert_array_equal(fresh[0], fresh[2])


@pytest.mark.parametrize(
    ("recipe", "namespace"), [("r2", "ns"), ("r1", "elsewhere")], ids=["recipe", "namespace"]
)
def test_recipes_and_namespaces_are_kept_apart(redis_client, recipe, namespace):
    cache = SingleFlightCache(redis_client)
    SharedEmbedder(CountingEmbedder(), cache, "ns").embed(["a"])
    other = CountingEmbedder(recipe)
    SharedEmbedder(other, cache, namespace).embed(["a"])
    assert other.batches == [["a"]]


def test_a_vector_of_another_length_is_a_miss(redis_client):
    SharedEmbedder(CountingEmbedder(dimensions=2), SingleFlightCache(redis_client), "ns").embed(
        ["a"]
    )
    inner = CountingEmbedder(dimensions=4)
    cache = SingleFlightCache(redis_client)
    out = SharedEmbedder(inner, cache, "ns").embed(["a"])
    assert out.shape == (1, 4)
    assert inner.batches == [["a"]]


def test_no_texts():
    assert SharedEmbedder(CountingEmbedder(), SingleFlightCache(None), "ns").embed([]).shape == (
        0,
        4,
    )
