import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.endpoint import resolve_endpoint
from cascade_operator.api.errors import SpecError
from cascade_operator.training.calls.dialects import (
    ChatAnswer,
    ChatCall,
    GarbledAnswerError,
    OllamaDialect,
    OpenAIDialect,
    make_dialect,
)
from cascade_operator.training.calls.schema import bound_schema

_SCHEMA = bound_schema({"type": "object", "properties": {"a": {"type": "string"}}})
_CALL = ChatCall("m", (("system", "s"), ("user", "u")), 0.0, 64, _SCHEMA, 42, 4096)
_EMBEDDED = {"CASCADE_EMBEDDED_CHAT_URL": "http://127.0.0.1:4711"}


def at(text):
    return resolve_endpoint(text, _EMBEDDED)


@pytest.mark.parametrize(
    ("written", "logical", "openai", "ollama"),
    [
        ("http://h:11434", "http://h:11434", "http://h:11434/v1/x", "http://h:11434/x"),
        ("http://h:11434/", "http://h:11434", "http://h:11434/v1/x", "http://h:11434/x"),
        ("http://h:11434/v1", "http://h:11434", "http://h:11434/v1/x", "http://h:11434/x"),
        ("https://h/api/v1/", "https://h/api", "https://h/api/v1/x", "https://h/api/x"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai", "https://h/v1beta/openai/x", None),
        ("embedded:chat", "embedded:chat", "http://127.0.0.1:4711/v1/x", None),
    ],
)
def test_endpoints_with_and_without_a_version(written, logical, openai, ollama):
    endpoint = at(written)
    assert endpoint.logical == logical
    assert endpoint.openai_url("x") == openai
    if ollama:
        assert endpoint.ollama_url("x") == ollama


@pytest.mark.parametrize(
    "written",
    ["", "h:11434", "ftp://h", "http://", "http://user:pw@h", "http://h?key=1", "http://h:99999"],
)
def test_what_is_no_endpoint_is_refused(written):
    with pytest.raises(SpecError) as caught:
        at(written)
    assert caught.value.mend


def test_an_embedded_server_that_does_not_run():
    with pytest.raises(SpecError, match="CASCADE_EMBEDDED_CHAT_URL") as caught:
        resolve_endpoint("embedded:chat", {})
    assert "cascade run" in caught.value.mend


def test_the_openai_form():
    body = OpenAIDialect(at("http://vllm:8000")).body(_CALL)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "stream": False,
        "max_tokens": 64,
        "temperature": 0.0,
        "seed": 42,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True},
        },
    }


def test_the_ollama_form():
    body = OllamaDialect(at("http://h:11434")).body(_CALL)
    assert body["format"] == _SCHEMA
    assert body["stream"] is False
    assert body["keep_alive"]
    assert body["options"] == {
        "temperature": 0.0, "num_predict": 64, "num_ctx": 4096, "seed": 42
    }  # fmt: skip


def test_only_the_embedded_model_is_kept_from_repeating_itself():
    embedded = OpenAIDialect(at("embedded:chat")).body(_CALL)
    assert (embedded["repeat_penalty"], embedded["dry_multiplier"]) == (1.1, 0.8)
    assert embedded["cache_prompt"] is True
    assert "repeat_penalty" not in OpenAIDialect(at("http://127.0.0.1:4711")).body(_CALL)


def test_openai_itself_takes_no_string_lengths_in_strict_mode():
    body = OpenAIDialect(at("https://api.openai.com/v1")).body(_CALL)
    sent = body["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert "maxLength" not in str(sent["schema"])
    assert body["max_completion_tokens"] == 64


@pytest.mark.parametrize(
    ("model", "sent"),
    [("gpt-4.1-mini", True), ("gpt-5-mini", False), ("o3", False), ("gpt-5-chat-latest", True)],
)
def test_openais_reasoning_models_take_no_temperature(model, sent):
    call = ChatCall(model, (("user", "u"),), 0.0, 64)
    body = OpenAIDialect(at("https://api.openai.com")).body(call)
    assert ("temperature" in body) is sent
    assert "temperature" in OpenAIDialect(at("http://proxy")).body(call)


@pytest.mark.parametrize(
    ("provider", "endpoint", "name"),
    [
        ("Ollama", "http://h:11434", "ollama"),
        ("OpenAI", "http://h:11434", "openai"),
        ("Ollama", "embedded:chat", "openai"),
    ],
)
def test_the_dialect_of_a_provider(provider, endpoint, name):
    assert make_dialect(provider, at(endpoint)).name == name


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {
                "choices": [{"message": {"content": "x"}, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            },
            ChatAnswer("x", "length", 3, 2),
        ),
        (
            {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]},
            ChatAnswer("", "stop", 0, 0),
        ),
        (
            {"choices": [{"message": {"content": "a\ud83d"}}], "usage": {"prompt_tokens": "no"}},
            ChatAnswer("a?", "stop", 0, 0),
        ),
    ],
)
def test_openai_answers_are_read(payload, expected):
    assert OpenAIDialect(at("http://h")).read(payload) == expected


def test_ollama_answers_are_read():
    payload = {
        "message": {"content": "x"},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 5,
        "eval_count": 1,
    }
    assert OllamaDialect(at("http://h")).read(payload) == ChatAnswer("x", "stop", 5, 1)


@pytest.mark.parametrize("dialect", [OpenAIDialect(at("http://h")), OllamaDialect(at("http://h"))])
@pytest.mark.parametrize(
    "payload",
    [
        None, [], {}, "x", {"choices": []}, {"choices": [1]}, {"choices": [{"message": 1}]},
        {"choices": [{"message": {"content": [1]}}]}, {"message": {"content": "half"}},
        {"message": {"content": 5}, "done": True},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_told_from_answers(dialect, payload):
    with pytest.raises(GarbledAnswerError):
        dialect.read(payload)


@given(st.text(), st.sampled_from(["stop", "length"]), st.integers(0), st.integers(0))
def test_answers_survive_the_cache(text, finish, inputs, outputs):
    answer = ChatAnswer(text, finish, inputs, outputs)
    assert ChatAnswer.from_bytes(answer.to_bytes()) == answer


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{}", b"[1]", b'["x", "end", 1, 1]', b'[1, "stop", 1, 1]']
)
def test_what_is_no_cached_answer_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 (json's own, or ours)
        ChatAnswer.from_bytes(data)
