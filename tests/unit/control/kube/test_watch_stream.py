"""A watch's body: one object a line, however it is cut, and whatever it says."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.control.kube import watch_stream
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.errors import BusyError, GoneError, UnreachableError
from cascade_operator.control.kube.port import ClusterError, RefusedError
from cascade_operator.control.kube.watch_stream import watch_event, watch_lines
from fakes.scripted_api import CUT, Answer, ScriptedApi, refusal

PATH = "/apis/batch/v1/jobs"


def lines_of(chunks):
    """The lines of a stream that comes in these pieces."""

    async def stream():
        for chunk in chunks:
            yield chunk

    async def read():
        return [line async for line in watch_lines(stream())]

    return asyncio.run(read())


def event(kind="MODIFIED", **about):
    return json.dumps({"type": kind, "object": about}).encode()


@given(
    lines=st.lists(st.binary().map(lambda line: line.replace(b"\n", b" ")), max_size=8),
    half=st.binary().map(lambda line: line.replace(b"\n", b" ")),
    data=st.data(),
)
def test_the_cuts_of_the_network_change_nothing(lines, half, data):
    body = b"".join(line + b"\n" for line in lines) + half
    places = data.draw(st.lists(st.integers(0, len(body)), max_size=6).map(sorted))
    chunks = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    # What an ended stream leaves half is no event; an empty line is what keeps a connection open.
    assert lines_of(chunks) == [line for line in lines if line]


def test_a_line_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(watch_stream, "_LONGEST_LINE", 100)
    assert lines_of([b"x" * 60, b"y" * 39 + b"\n", b"z" * 99, b"\n"]) == [
        b"x" * 60 + b"y" * 39,
        b"z" * 99,
    ]
    with pytest.raises(ClusterError, match="longer than 100 bytes"):
        lines_of([b"x" * 60, b"x" * 60, b"\n"])


def test_an_event_is_its_type_and_its_object():
    found = watch_event(b'{"type": "ADDED", "object": {"a": 1}, "more": true}', 0.0)
    assert found == {"type": "ADDED", "object": {"a": 1}}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b"<html>", "no JSON", id="a proxy's page"),
        pytest.param(b'{"type": "ADDED", "obj', "no JSON", id="half an event"),
        pytest.param(b"[" * 10**6, "no JSON", id="deeper than any parser goes"),
        pytest.param(b'{"type": "ADDED", "object": "\xff"}', "no JSON", id="no UTF-8"),
        pytest.param(b"[]", "no event", id="a list"),
        pytest.param(b'{"object": {}}', "no event", id="no type"),
        pytest.param(b'{"type": 7, "object": {}}', "no event", id="a number as its type"),
        pytest.param(b'{"type": "ADDED"}', "no event", id="no object"),
        pytest.param(b'{"type": "ADDED", "object": []}', "no event", id="a list as its object"),
        pytest.param(b'{"type": "ERROR", "object": {}}', "answered 500", id="an error of no kind"),
        pytest.param(
            b'{"type": "ERROR", "object": {"code": "410"}}', "answered 500", id="a code in words"
        ),
    ],
)
def test_what_is_no_event_is_an_error_of_the_cluster(line, words):
    with pytest.raises(ClusterError, match=words):
        watch_event(line, 0.0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(410, GoneError), (403, RefusedError), (429, BusyError), (500, ClusterError)],
)
def test_an_error_in_the_stream_is_sorted_like_an_answer(code, kind):
    with pytest.raises(ClusterError, match="so it is") as caught:
        watch_event(event("ERROR", code=code, reason="Odd", message="so it is"), 0.0)
    assert type(caught.value) is kind


def watched(folder, answer):
    """What a watch yields that a server answers so, and how it ends."""
    found, ended = [], None

    async def follow(server):
        nonlocal ended
        api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(folder)))
        try:
            async for one in api.watch(PATH, query={"resourceVersion": "7"}, seconds=60):
                found.extend([one["type"]])
        except ClusterError as error:
            ended = error
        finally:
            await api.close()

    with ScriptedApi({"": [answer]}) as server:
        asyncio.run(asyncio.wait_for(follow(server), 30))
        asked = {path for _, path, _, _ in server.requests}
    assert asked == {f"{PATH}?resourceVersion=7&watch=true&timeoutSeconds=60"}
    return found, ended


def test_a_watch_ends_where_the_server_ends_it(tmp_path):
    body = event("ADDED") + b"\n\n" + event("BOOKMARK") + b"\n" + event("DELETED")[:-4]
    assert watched(tmp_path, Answer(body)) == (["ADDED", "BOOKMARK"], None)


@pytest.mark.parametrize(
    ("answer", "seen", "kind"),
    [
        pytest.param(
            Answer(event("ADDED") + b"\n" + event("ERROR", code=410, message="too old") + b"\n"),
            ["ADDED"],
            GoneError,
            id="too old, told in the stream",
        ),
        pytest.param(refusal(410, "Expired"), [], GoneError, id="too old, refused"),
        pytest.param(refusal(403, "Forbidden"), [], RefusedError, id="forbidden"),
        pytest.param(refusal(429, "TooManyRequests"), [], BusyError, id="busy"),
        pytest.param(Answer(CUT), [], UnreachableError, id="cut"),
        pytest.param(
            Answer(event("ADDED") + b"\nnothing\n"), ["ADDED"], ClusterError, id="no event"
        ),
    ],
)
def test_a_watch_that_fails_says_how(tmp_path, answer, seen, kind):
    found, ended = watched(tmp_path, answer)
    assert found == seen
    assert type(ended) is kind
