"""The loop over an API server that fails in every way that asks for another turn."""

import asyncio

import pytest

from cascade_operator.api.resolve import Defaults
from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.loop import controller as module
from cascade_operator.control.loop.controller import Controller
from cascade_operator.control.telemetry.metrics import OperatorMetrics
from fakes.raw_objects import raw_session
from fakes.scripted_api import CUT, Answer, ScriptedApi, refusal

GROUP = "/apis/cascade-operator.dev/v1alpha1"
STATUS = f"{GROUP}/namespaces/team/trainingsessions/triage/status"
EMPTY = Answer({"metadata": {}, "items": []})


def serving(*sessions, **answers):
    """What a server answers that has these sessions and nothing else."""
    items = {"metadata": {}, "items": list(sessions)}
    return {"": [EMPTY], f"{GROUP}/trainingsessions": [Answer(items)], **answers}


def run_until(server, folder, until, *, act=lambda controller: None, **more):
    """Runs a controller until a condition of its metrics' text holds; returns that text."""

    async def main():
        metrics = OperatorMetrics()
        api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(folder)))
        cluster = KubeCluster(api, defaults=Defaults())
        controller = Controller(cluster, Lister(api, cluster.cache), metrics=metrics, **more)
        running = asyncio.create_task(controller.run())
        try:
            for _ in range(2000):
                await asyncio.sleep(0.005)
                act(controller)
                if until(metrics.render().decode()):
                    return metrics.render().decode()
                assert not running.done(), running.exception()
            raise AssertionError(metrics.render().decode())
        finally:
            await controller.stop(1)
            running.cancel()
            await asyncio.wait([running])
            await api.close()

    return asyncio.run(main())


def turns(result):
    """Whether a turn has ended so."""
    line = f'cascade_operator_reconciles_total{{result="{result}"}}'
    return lambda text: line in text


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(refusal(429, "TooManyRequests", Retry_After="1"), "busy", id="429"),
        pytest.param(refusal(503, "ServiceUnavailable"), "busy", id="503"),
        pytest.param(refusal(500, "InternalError"), "failed", id="500"),
        pytest.param(refusal(403, "Forbidden"), "refused", id="403"),
        pytest.param(refusal(422, "Invalid"), "refused", id="422"),
        pytest.param(Answer(CUT), "unreachable", id="cut"),
    ],
)
def test_a_write_that_fails_is_tried_again(tmp_path, answer, result):
    written = Answer(raw_session(2))
    with ScriptedApi(serving(raw_session(1), **{STATUS: [answer, written]})) as server:
        run_until(server, tmp_path, turns(result))
    assert any(path.startswith(f"PATCH {STATUS}") for path in server.paths())


def test_what_is_written_says_over_which_version(tmp_path):
    with ScriptedApi(serving(raw_session(41), **{STATUS: [Answer(raw_session(42))]})) as server:
        run_until(server, tmp_path, turns("ok"))
        bodies = [body for method, _, _, body in server.requests if method == "PATCH"]
    assert bodies[0]["metadata"]["resourceVersion"] == "41"
    assert bodies[0]["status"]["phase"] == "Preparing"


def test_one_poisoned_session_does_not_take_the_others_down(tmp_path, monkeypatch):
    real = module.reconcile_once

    async def poisoned(port, key, now, **more):
        if key.name == "poison":
            raise SystemExit("a library called exit()")
        return await real(port, key, now, **more)

    monkeypatch.setattr(module, "reconcile_once", poisoned)
    sessions = (raw_session(1, name="poison", uid="p"), raw_session(2))
    with ScriptedApi(serving(*sessions, **{STATUS: [Answer(raw_session(3))]})) as server:
        text = run_until(server, tmp_path, lambda text: turns("broken")(text) and turns("ok")(text))
    assert "cascade_operator_queue_depth" in text


def test_a_namespace_of_another_operator_is_left_alone_until_it_is_gained(tmp_path):
    gained = []

    def act(controller):
        # Nothing asks for another turn but what is told.
        if turned() and not gained:
            gained.append(True)
            controller.look_again()

    with ScriptedApi(serving(raw_session(1), **{STATUS: [Answer(raw_session(2))]})) as server:
        asked = []

        def serves(namespace):
            asked.append((namespace, any(path.startswith("PATCH") for path in server.paths())))
            return bool(gained)

        def turned():
            return bool(asked)

        text = run_until(server, tmp_path, turns("ok"), act=act, serves=serves)
    assert asked[0] == ("team", False)
    assert turns("elsewhere")(text)


def test_nothing_is_planned_before_everything_was_listed(tmp_path):
    answers = serving(raw_session(1), **{STATUS: [Answer(raw_session(2))]})
    answers["/api/v1/pods"] = [refusal(500, "InternalError"), EMPTY]
    with ScriptedApi(answers) as server:
        run_until(server, tmp_path, turns("ok"))
        asked = [(method, path) for method, path, _, _ in server.requests if "watch=" not in path]
    paths = [f"{method} {path.partition('?')[0]}" for method, path in asked]
    first_write = paths.index(f"PATCH {STATUS}")
    assert paths[:first_write].count("GET /api/v1/pods") == 2
    assert "GET /api/v1/configmaps" in paths[:first_write]


def test_until_it_leads_it_knows_and_does_nothing(tmp_path):
    """Then it looks once more at what is there: a watch may have fallen silent unnoticed."""
    leads = asyncio.Event()
    seen = []

    def stand_by(controller):
        if not controller.synced or leads.is_set():
            return
        if not seen:
            controller.session_event("MODIFIED", raw_session(2))
            controller.look_again()
            listed[:] = [EMPTY]
        seen.append(controller.queue_depth())
        if len(seen) == 20:
            seen.extend(path for path in server.paths() if path.startswith("PATCH"))
            leads.set()

    with ScriptedApi(serving(raw_session(1), **{STATUS: [Answer(raw_session(3))]})) as server:
        listed = server.answers[f"{GROUP}/trainingsessions"]
        pruned = 'cascade_operator_resync_pruned_total{kind="trainingsessions"} 1.0'
        run_until(server, tmp_path, lambda text: pruned in text, act=stand_by, leads=leads)
        written = [path for path in server.paths() if path.startswith("PATCH")]
    assert seen == [0] * 20
    assert written == [], "a session that is gone was written to"


def test_who_stands_by_counts_no_sessions(tmp_path):
    """Or each would be in the sum over replicas twice."""
    leads = asyncio.Event()
    shown = 'cascade_operator_sessions{phase="Preparing"} 1.0'
    texts, known = [], []

    def lead_when_known(controller):
        if controller.synced:
            known.append(len(texts))
        if len(known) == 2:
            leads.set()

    def counted(text):
        texts.append(text)
        return shown in text

    session = raw_session(1)
    session["status"] = {"phase": "Preparing"}
    with ScriptedApi(serving(session)) as server:
        run_until(server, tmp_path, counted, act=lead_when_known, leads=leads)
    assert shown not in texts[known[0]]


def test_a_watch_tells_of_a_session_and_of_its_end(tmp_path):
    told = []

    def act(controller):
        if controller.synced and not told:
            told.append(True)
            controller.session_event("ADDED", raw_session(5))
            controller.session_event("DELETED", raw_session(6))

    with ScriptedApi(serving()) as server:
        run_until(
            server,
            tmp_path,
            lambda text: (
                'watch_events_total{kind="trainingsessions",type="DELETED"}' in text
                and turns("ok")(text)
            ),
            act=act,
        )
        written = [path for path in server.paths() if path.startswith("PATCH")]
    assert written == []


def test_what_went_while_a_watch_could_not_tell_is_missed_soon(tmp_path, monkeypatch):
    """After a gap a watch lists anew; nothing tells what is not in that list any more."""
    monkeypatch.setattr(module, "GAP_SECONDS", 0.05)
    sessions = [Answer({"metadata": {}, "items": [raw_session(1)]}), EMPTY]
    answers = serving(raw_session(1), **{STATUS: [Answer(raw_session(2))]})
    answers[f"{GROUP}/trainingsessions"] = sessions
    listed = []

    def list_anew(controller):
        if controller.synced and not listed:
            listed.append(controller)
            controller.session_event(None, raw_session(1))

    pruned = 'cascade_operator_resync_pruned_total{kind="trainingsessions"} 1.0'
    with ScriptedApi(answers) as server:
        text = run_until(server, tmp_path, lambda text: pruned in text, act=list_anew)
    assert 'cascade_operator_watch_events_total{kind="trainingsessions",type="LISTED"} 1.0' in text
