"""Lists: pages, what is too old, and what the watches have missed."""

import asyncio
import json

import pytest

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cache import WatchCache
from cascade_operator.control.kube.depth import deep_objects
from cascade_operator.control.kube.errors import GoneError
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.kube.port import SessionKey
from cascade_operator.control.kube.resources import METADATA
from cascade_operator.control.kube.sessions import SessionReader
from cascade_operator.control.manifests import labels
from fakes.raw_objects import UID, condition, raw_job, raw_pod, raw_session
from fakes.scripted_api import Answer, ScriptedApi, refusal

SESSIONS = "/apis/cascade-operator.dev/v1alpha1/trainingsessions"
JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/pods"
CONFIG_MAPS = "/api/v1/configmaps"
KEY = SessionKey("team", "triage")


def listed(*items, more=""):
    return Answer({"metadata": {"continue": more}, "items": list(items)})


def config_map(name="triage-r1-config"):
    return {
        "metadata": {"name": name, "uid": f"uid of {name}", "labels": {labels.SESSION_UID: UID}}
    }


def everything(**instead):
    """What is there: a session with a Job, its pod and a ConfigMap."""
    job = raw_job(version=11, uid="j")
    answers = {
        SESSIONS: [listed(raw_session(10))],
        JOBS: [listed(job)],
        PODS: [listed(raw_pod(job, 12, uid="p"))],
        CONFIG_MAPS: [listed(config_map())],
    }
    return {**answers, **instead}


def with_lister(server, folder, work, namespaces=()):
    async def run():
        api = await KubeApi.connect(kubeconfig=str(server.kubeconfig(folder)))
        cache = WatchCache()
        try:
            return await work(Lister(api, cache, namespaces), cache)
        finally:
            await api.close()

    return asyncio.run(run())


def held(cache):
    names = set(cache.jobs_of(UID))
    return len(cache.sessions), names, len(cache.pods), set(cache.config_maps_of(UID))


def test_everything_is_listed_once(tmp_path):
    async def work(lister, cache):
        await lister.fill()
        return held(cache)

    with ScriptedApi(everything()) as server:
        found = with_lister(server, tmp_path, work)
        asked = [path for _, path, _, _ in server.requests]
        accepted = {path.partition("?")[0]: h["accept"] for _, path, h, _ in server.requests}
    assert found == (1, {"triage-r1-00"}, 1, {"triage-r1-config"})
    assert len(asked) == 4
    selected = {path.partition("?")[0] for path in asked if "session-uid" in path}
    assert selected == {JOBS, PODS, CONFIG_MAPS}
    # A ConfigMap's content is the user's; its name is enough.
    assert accepted[CONFIG_MAPS] == METADATA


def test_an_object_as_deep_as_an_api_server_takes_costs_only_itself(tmp_path):
    deep = raw_session(10, name="deep", uid="u-deep", spec="@")
    items = json.dumps([deep, raw_session(11)]).replace('"@"', '{"a":' * 9_999 + "1" + "}" * 9_999)
    page = Answer(f'{{"metadata": {{}}, "items": {items}}}'.encode())

    async def work(lister, cache):
        await lister.fill()
        return cache.session(SessionKey("team", "deep")), cache.session(KEY)

    with deep_objects(), ScriptedApi(everything(**{SESSIONS: [page]})) as server:
        found, other = with_lister(server, tmp_path, work)
    assert other.uid == UID
    assert SessionReader().view(other).spec is not None
    with deep_objects():
        view = SessionReader().view(found)
    assert view.spec is None
    assert view.problems


def test_pages_are_followed_and_begun_anew_where_one_is_too_old(tmp_path):
    async def work(lister, cache):
        await lister.fill()
        return len(cache.jobs)

    first, second = raw_job("triage-r1-00", 3), raw_job("triage-r1-01", 4)
    pages = [listed(first, more="x"), refusal(410, "Expired"), listed(first, more="y")]
    with ScriptedApi(everything(**{JOBS: [*pages, listed(second)]})) as server:
        assert with_lister(server, tmp_path, work) == 2
        jobs = [path for _, path, _, _ in server.requests if path.startswith(JOBS)]
    assert ["continue=x" in path for path in jobs] == [False, True, False, False]
    assert "continue=y" in jobs[3]


def test_pages_that_are_always_too_old_are_given_up(tmp_path):
    async def work(lister, cache):
        await lister.fill()

    with (
        ScriptedApi(everything(**{JOBS: [refusal(410, "Expired")]})) as server,
        pytest.raises(GoneError),
    ):
        with_lister(server, tmp_path, work)


def test_each_namespace_is_listed_by_itself(tmp_path):
    async def work(lister, cache):
        await lister.fill()

    with ScriptedApi({"": [listed()]}) as server:
        with_lister(server, tmp_path, work, ["a", "b"])
        asked = server.paths()
    assert len(asked) == 8
    assert all("/namespaces/a/" in path or "/namespaces/b/" in path for path in asked)


def test_a_resync_of_what_is_known_reads_metadata_alone(tmp_path):
    async def work(lister, cache):
        await lister.fill()
        server.requests.clear()
        return await lister.resync()

    with ScriptedApi(everything()) as server:
        found = with_lister(server, tmp_path, work)
        accepted = [headers["accept"] for _, _, headers, _ in server.requests]
    assert (found.keys, found.pruned) == (set(), {})
    assert accepted == [METADATA] * 4


def test_a_resync_prunes_what_is_gone(tmp_path):
    async def work(lister, cache):
        await lister.fill()
        server.answers |= {JOBS: [listed()], PODS: [listed()]}
        found = await lister.resync()
        return found, held(cache)

    with ScriptedApi(everything()) as server:
        found, left = with_lister(server, tmp_path, work)
    assert found.pruned == {"jobs": 1, "pods": 1}
    assert found.keys == {KEY}
    assert left == (1, set(), 0, {"triage-r1-config"})


def test_a_resync_reads_what_no_watch_has_told(tmp_path):
    ended = raw_job(version=20, uid="j", status={"conditions": [condition("Complete")]})
    new = raw_job("triage-r1-01", 21, uid="k")

    async def work(lister, cache):
        await lister.fill()
        server.answers |= {
            JOBS: [listed(ended, new)],
            "/apis/batch/v1/namespaces/team/jobs/triage-r1-00": [Answer(ended)],
            "/apis/batch/v1/namespaces/team/jobs/triage-r1-01": [Answer(new)],
        }
        found = await lister.resync()
        return found.keys, {name: job.ended for name, job in cache.jobs_of(UID).items()}

    with ScriptedApi(everything()) as server:
        keys, jobs = with_lister(server, tmp_path, work)
    assert keys == {KEY}
    assert jobs == {"triage-r1-00": "Complete", "triage-r1-01": ""}


def test_what_goes_between_list_and_reading_is_gone(tmp_path):
    new = raw_job("triage-r1-01", 21, uid="k")

    async def work(lister, cache):
        await lister.fill()
        server.answers |= {JOBS: [listed(raw_job(version=11, uid="j"), new)]}
        server.answers |= {"/apis/batch/v1/namespaces": [refusal(404, "NotFound")]}
        await lister.resync()
        return held(cache)[1]

    with ScriptedApi(everything()) as server:
        assert with_lister(server, tmp_path, work) == {"triage-r1-00"}


def test_a_crd_that_was_removed_took_all_sessions_along(tmp_path):
    async def work(lister, cache):
        await lister.fill()
        server.answers[SESSIONS] = [refusal(404, "NotFound")]
        found = await lister.resync()
        return found.pruned, cache.session(KEY)

    with ScriptedApi(everything()) as server:
        assert with_lister(server, tmp_path, work) == ({"trainingsessions": 1}, None)
