"""Requests over the wire: what is sent, and what becomes of each answer."""

import asyncio

import pytest

from cascade_operator.api.errors import SpecError
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.errors import BusyError, UnauthorizedError, UnreachableError
from cascade_operator.control.kube.port import ClusterError
from cascade_operator.control.kube.resources import MERGE_PATCH
from fakes.kubeconfig import write_kubeconfig
from fakes.scripted_api import CUT, Answer, ScriptedApi, refusal

JOBS = "/apis/batch/v1/namespaces/team/jobs"


def ask(server, folder, *requests, **connect):
    """Makes requests one after another; the last one's answer, and what was told of all."""
    told = []

    async def run():
        config = connect.pop("kubeconfig", None) or server.kubeconfig(folder)
        api = await KubeApi.connect(
            kubeconfig=str(config), told=lambda *what: told.append(what[:3]), **connect
        )
        try:
            answer = None
            for method, path, more in requests:
                answer = await api.request(method, path, **more)
            return answer, api.namespace
        finally:
            await api.close()

    return asyncio.run(run()), told


def test_what_is_asked_and_answered(tmp_path):
    with ScriptedApi({"": [Answer({"kind": "Job"}, 201)]}) as server:
        query = {"fieldValidation": "Strict", "labelSelector": "a=b,c"}
        more = {"body": {"replicas": 8, "text": "ä"}, "query": query}
        (answer, namespace), told = ask(server, tmp_path, ("POST", JOBS, more))
        ((method, path, headers, body),) = server.requests
    assert answer == {"kind": "Job"}
    assert namespace == "team"
    assert (method, body) == ("POST", {"replicas": 8, "text": "ä"})
    assert path == f"{JOBS}?fieldValidation=Strict&labelSelector=a%3Db,c"
    assert headers["authorization"] == "Bearer abc"
    assert headers["user-agent"] == "cascade-operator"
    assert told == [("post", "jobs", 201)]


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        pytest.param("/api/v1/namespaces/team/pods", "pods", id="list"),
        pytest.param("/api/v1/pods", "pods", id="of all namespaces"),
        pytest.param("/api/v1/namespaces/team/events", "events", id="events"),
        pytest.param(f"{JOBS}/triage-r1-00", "jobs", id="one"),
        pytest.param(
            "/apis/cascade-operator.dev/v1alpha1/namespaces/team/trainingsessions/x/status",
            "trainingsessions/status",
            id="subresource",
        ),
        pytest.param("/apis/cascade-operator.dev/v1alpha1", "discovery", id="discovery"),
    ],
)
def test_a_request_is_counted_by_its_resource(tmp_path, path, resource):
    with ScriptedApi({"": [Answer({})]}) as server:
        _, told = ask(server, tmp_path, ("GET", path, {}))
    assert told == [("get", resource, 200)]


def test_a_patch_is_of_the_type_that_is_asked_for(tmp_path):
    with ScriptedApi({"": [Answer({})]}) as server:
        ask(server, tmp_path, ("PATCH", JOBS, {"body": {}, "content_type": MERGE_PATCH}))
        assert server.requests[0][2]["content-type"] == MERGE_PATCH


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        pytest.param(refusal(429, "Busy", Retry_After="3"), BusyError, "Busy", id="busy"),
        pytest.param(Answer(b"<html>", 200), ClusterError, "without JSON", id="no JSON"),
        pytest.param(Answer(b"[]", 200), ClusterError, "no object", id="no object"),
        pytest.param(Answer(CUT), UnreachableError, "does not answer", id="cut"),
        pytest.param(refusal(401, "Unauthorized"), UnauthorizedError, "Unauth", id="unauthorized"),
    ],
)
def test_an_answer_that_is_none_is_an_error(tmp_path, answer, error, words):
    with ScriptedApi({"": [answer]}) as server:
        with pytest.raises(error, match=words) as raised:
            ask(server, tmp_path, ("POST", JOBS, {"body": {}}))
        # A write is not repeated by itself: it may have been done.
        assert len(server.requests) == 1
    assert getattr(raised.value, "retry_after", 3.0) == 3.0


def test_a_server_that_hangs_is_given_up(tmp_path):
    async def run():
        silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        file = write_kubeconfig(tmp_path / "config", url, {"token": "x"}, namespace="team")
        api = await KubeApi.connect(kubeconfig=str(file))
        try:
            with pytest.raises(UnreachableError):
                await api.request("GET", JOBS, seconds=0.2)
        finally:
            await api.close()
            silent.close()

    asyncio.run(run())


def test_a_token_that_was_renewed_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("cascade_operator.control.kube.api._RELOGIN_SECONDS", 0.0)
    with ScriptedApi({"": [refusal(401, "Unauthorized"), Answer({"kind": "Job"})]}) as server:
        config = server.kubeconfig(tmp_path, token="old")

        async def run():
            api = await KubeApi.connect(kubeconfig=str(config))
            server.kubeconfig(tmp_path, token="new")
            try:
                return await api.request("GET", JOBS)
            finally:
                await api.close()

        assert asyncio.run(run()) == {"kind": "Job"}
        shown = [headers["authorization"] for _, _, headers, _ in server.requests]
    assert shown == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "cannot be used", id="no file"),
        pytest.param("{", "cannot be used", id="no YAML"),
        pytest.param("kind: Config", "cannot be used", id="nothing in it"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_so(tmp_path, text, words):
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SpecError, match=words) as raised:
        asyncio.run(KubeApi.connect(kubeconfig=str(file)))
    assert "--kubeconfig" in raised.value.mend


def test_an_unknown_context_is_named(tmp_path):
    with (
        ScriptedApi() as server,
        pytest.raises(SpecError, match="'elsewhere'"),
    ):
        ask(server, tmp_path, context="elsewhere")
