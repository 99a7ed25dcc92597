import socket

import numpy as np
import pytest

from cascade_operator.api.endpoint import resolve_endpoint
from cascade_operator.api.errors import DataError, ServiceUnavailable, SpecError
from cascade_operator.api.models_spec import EmbeddingSpec
from cascade_operator.traces import embedding, embedding_client
from cascade_operator.traces.embedding import (
    OllamaEmbedder,
    OpenAIEmbedder,
    embed_distinct,
    make_embedder,
)
from fakes.embedding_server import EmbeddingServer, vector_of

NOMIC = "nomic-embed-text:v1.5"


@pytest.fixture
def server():
    with EmbeddingServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(embedding_client, "_RETRIES", (0.0, 0.0))
    monkeypatch.setattr(embedding_client, "_RETRIES_LIMITED", (0.0, 0.0))


def both(server, model="all-minilm", dimensions=64, timeout=5.0):
    return [
        OllamaEmbedder(server.url, model, dimensions, timeout),
        OpenAIEmbedder(server.url, model, dimensions, timeout),
    ]


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_nomic_gets_its_prefix_and_its_layer_norm(server):
    embedder = OllamaEmbedder(server.url, NOMIC)
    found = embedder.embed(["one", "two"])
    assert server.batches == [["clustering: one", "clustering: two"]]
    raw = np.array(vector_of("clustering: two", 768))
    normed = (raw - raw.mean()) / np.sqrt(raw.var() + 1e-5)
    np.testing.assert_allclose(found[1], unit(normed[:256]), atol=1e-6)
    assert found.shape == (2, 256)
    assert found.dtype == np.float32
    assert embedder.recipe == "ollama/nomic-embed-text:v1.5/clustering-layernorm-256"


def test_other_models_are_sliced_and_rescaled(server):
    for embedder in both(server):
        found = embedder.embed(["one"])
        np.testing.assert_allclose(found[0], unit(np.array(vector_of("one", 768))[:64]), atol=1e-6)
        assert embedder.recipe.endswith("/all-minilm/slice-64")


def test_batches_hold_at_most_64_texts(server):
    for embedder in both(server):
        server.batches.clear()
        embedder.embed([str(n) for n in range(130)])
        assert [len(batch) for batch in server.batches] == [64, 64, 2]


def test_no_text_asks_nobody(server):
    for embedder in both(server):
        assert embedder.embed([]).shape == (0, 64)
    assert server.batches == []


def test_answers_out_of_order_are_put_right(server):
    server.shuffle = True
    found = both(server)[1].embed(["a", "b", "c"])
    np.testing.assert_allclose(found[2], unit(np.array(vector_of("c", 768))[:64]), atol=1e-6)


def test_the_key_goes_into_the_header(server):
    OpenAIEmbedder(server.url + "/v1", "all-minilm", 64, api_key="k-1").embed(["a"])
    assert server.headers[0]["Authorization"] == "Bearer k-1"


def test_a_text_too_long_is_cut_and_averaged_and_the_others_are_as_alone(server):
    server.longest = 300
    long = " ".join(f"word{n}" for n in range(100))
    texts = ["short a", long, "short b"]
    for embedder in both(server):
        found = embedder.embed(texts)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(found[[0, 2]], embedder.embed(["short a", "short b"]))
        assert embedder.long_texts == 1
        other_end = embedder.embed([long + "!"])[0]
        assert not np.allclose(found[1], other_end)


def test_texts_over_the_bound_are_cut_before_they_are_sent(server):
    text = "ab " * 4000
    embedder = both(server)[0]
    embedder.embed([text])
    sent = [piece for batch in server.batches for piece in batch]
    assert "".join(sent) == text
    assert max(map(len, sent)) <= embedding._PIECE_CHARS
    assert embedder.long_texts == 1


def test_a_text_that_no_cut_helps_is_bad_data(server):
    server.longest = 0
    for embedder in both(server):
        with pytest.raises(DataError, match="refuses a text of"):
            embedder.embed(["x" * 100])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("nan", "NaN"),
        ("zero", "zero vector"),
        ("few", r"shape \(1, 768\) for 2 texts"),
        ("text", "not a table of numbers|is not"),
        ("huge", "not a table of numbers|is not|infinity"),
        ("notjson", "is not"),
    ],
)
def test_a_wrong_answer_is_the_servers_fault(server, spoil, reason):
    server.spoil = spoil
    for embedder in both(server):
        with pytest.raises(ServiceUnavailable, match=reason):
            embedder.embed(["a", "b"])


def test_a_model_with_fewer_dimensions_is_a_wrong_spec(server):
    for embedder in both(server, dimensions=1024):
        with pytest.raises(SpecError, match="768 dimensions, fewer than 1024") as caught:
            embedder.embed(["a"])
        assert "dimensions to 768" in caught.value.mend


@pytest.mark.parametrize("width", [384, 1024])
def test_vectors_that_change_their_length_are_not_mixed(server, width):
    texts = [f"text {n}" for n in range(70)]
    for embedder in both(server, dimensions=256):
        server.widths = [768, width]  # the second batch comes from another model
        with pytest.raises(ServiceUnavailable, match=f"have {width} values, and had 768 before"):
            embedder.embed(texts)
        server.widths = []
        assert embedder.embed(texts).shape == (70, 256)


def test_halves_of_a_long_text_from_two_models_are_not_averaged(server):
    server.widths = [768, 384]
    with pytest.raises(ServiceUnavailable, match="have 384 values, and had 768 before"):
        both(server)[0].embed(["ab " * 2000])


def test_a_failed_first_answer_fixes_no_length(server):
    for embedder in both(server, dimensions=256):
        server.widths = [64]
        with pytest.raises(SpecError, match="64 dimensions, fewer than 256"):
            embedder.embed(["a"])
        assert embedder.embed(["a"]).shape == (1, 256)


@pytest.mark.parametrize("text", ["half \ud83d of a character", "a\0b", "x" * (1 << 20), ""])
def test_any_text_a_model_may_write_can_be_embedded(server, text):
    for embedder in both(server):
        assert np.linalg.norm(embedder.embed([text])) == pytest.approx(1.0, abs=1e-5)


def test_an_unknown_model_says_how_to_fetch_it(server):
    ollama, openai = both(server, model="absent")
    with pytest.raises(ServiceUnavailable) as caught:
        ollama.embed(["a"])
    assert "ollama pull absent" in caught.value.mend
    assert server.url in str(caught.value)
    with pytest.raises(ServiceUnavailable) as caught:
        openai.embed(["a"])
    assert "absent" in caught.value.mend
    assert len(server.batches) == 2  # nothing is gained by asking again


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_failure_is_tried_again(server, status):
    for embedder in both(server):
        server.fail_status = [status, status]
        assert embedder.embed(["a"]).shape == (1, 64)


def test_a_lasting_failure_names_the_endpoint(server):
    for embedder in both(server):
        server.fail_status = [500] * 3
        with pytest.raises(ServiceUnavailable, match=server.url):
            embedder.embed(["a"])
        assert server.fail_status == []


def test_a_wrong_key_is_not_tried_again(server):
    server.fail_status = [401, 401]
    with pytest.raises(ServiceUnavailable) as caught:
        both(server)[1].embed(["a"])
    assert "apiKeySecretRef" in caught.value.mend
    assert len(server.fail_status) == 1


def test_nobody_there(free_port_url):
    for kind in (OllamaEmbedder, OpenAIEmbedder):
        with pytest.raises(ServiceUnavailable, match=free_port_url) as caught:
            kind(free_port_url, "m", 64, 1.0).embed(["a"])
        assert caught.value.mend


def test_a_server_that_hangs(hanging_url):
    for kind in (OllamaEmbedder, OpenAIEmbedder):
        with pytest.raises(ServiceUnavailable, match=r"ReadTimeout"):
            kind(hanging_url, "m", 64, 0.05).embed(["a"])


@pytest.fixture
def free_port_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def hanging_url():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_each_distinct_text_is_embedded_once(server):
    embedder = both(server)[0]
    found = embed_distinct(["a", "b", "a", "a"], embedder)
    assert server.batches == [["a", "b"]]
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_array_equal(found, embedder.embed(["a", "b", "a", "a"]))


def test_the_spec_decides_the_dialect(server):
    spec = EmbeddingSpec(endpoint=server.url, model="all-minilm", dimensions=32, provider="OpenAI")
    assert make_embedder(spec).embed(["a"]).shape == (1, 32)
    assert isinstance(make_embedder(spec), OpenAIEmbedder)
    ollama = make_embedder(spec.model_copy(update={"provider": "Ollama"}))
    assert isinstance(ollama, OllamaEmbedder)
    with pytest.raises(SpecError, match="no endpoint"):
        make_embedder(EmbeddingSpec())


def test_the_embedded_server_is_found_by_its_variable(monkeypatch):
    monkeypatch.setenv("CASCADE_EMBEDDED_EMBEDDINGS_URL", "http://127.0.0.1:9/")
    assert resolve_endpoint("embedded:embeddings").base_url == "http://127.0.0.1:9"
    monkeypatch.delenv("CASCADE_EMBEDDED_EMBEDDINGS_URL")
    with pytest.raises(SpecError, match="CASCADE_EMBEDDED_EMBEDDINGS_URL"):
        resolve_endpoint("embedded:embeddings")
    with pytest.raises(SpecError, match="is no http"):
        resolve_endpoint("file:///etc/passwd")
