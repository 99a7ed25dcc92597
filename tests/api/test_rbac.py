"""The operator's rights: enough for a session's whole life, and none too many."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from api.custom_resource import ROOT, sessions_path
from api.operator_rules import VERBS, Verb, operator_rules
from api.rest import ApiError, wait_for
from api.scenarios import scenario
from cascade_operator.api.resolve import Defaults
from cascade_operator.control.domain.model import CreateConfigMap, CreateJob, Event, EventType
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.config_maps import ConfigMaps
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.kube.port import RefusedError, SessionKey
from cascade_operator.control.manifests.labels import OPERATOR
from cascade_operator.control.manifests.rbac import build_rbac
from cascade_operator.control.runtime.kopf_app import watch
from cascade_operator.control.runtime.lease import KubeLeases, Lease
from fakes.child_watches import child_watches

pytestmark = pytest.mark.process

NAME = "life"


def session_manifest(name=NAME, **spec):
    """A session of four groups whose workers take a moment."""
    manifest = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8"))
    manifest["metadata"] = {"name": name}
    settings = spec.pop("settings", {"run-seconds": "0.2"})
    manifest["spec"] |= {
        "jobTemplate": {"metadata": {"annotations": scenario(**settings)}},
        **spec,
    }
    return manifest


# The whole life.


def metric(text, name):
    """The sum of a metric's samples by their labels."""
    found = Counter()
    for labels, value in re.findall(rf"^{name}(\{{.*?\}})? (\S+)$", text, re.MULTILINE):
        found[labels] += float(value)
    return found


def metrics_of(operator):
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics") as answer:
        return answer.read().decode()


def test_these_rules_are_enough_for_a_whole_life(
    control_plane, namespace, claims, service_account, start_operator
):
    rest, path = control_plane.rest, sessions_path(namespace)
    user = service_account(namespace_rules=operator_rules())
    operator = start_operator("--resync=10", kubeconfig=user)
    rest.create(path, session_manifest(suspend=True, ttlSecondsAfterFinished=1))

    def status():
        return rest.get(f"{path}/{NAME}").get("status") or {}

    wait_for("it is suspended", lambda: status().get("phase") == "Suspended")
    rest.merge(f"{path}/{NAME}", {"spec": {"suspend": False}})
    wait_for("it runs", lambda: status().get("phase") in ("Running", "Preparing"))
    wait_for("it is complete", lambda: status().get("phase") == "Complete")
    jobs, maps = f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}"
    wait_for("its Jobs are deleted", lambda: not rest.get(jobs)["items"])
    wait_for(
        "its ConfigMap is deleted",
        lambda: (
            not [
                one
                for one in rest.get(f"{maps}/configmaps")["items"]
                if one["metadata"].get("ownerReferences")
            ]
        ),
    )
    assert rest.get(f"{maps}/events")["items"], "its events are recorded"
    lease = rest.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{OPERATOR}")
    assert lease["spec"]["holderIdentity"]

    def pod_lists():
        found = metric(metrics_of(operator), "cascade_operator_api_requests_total")
        return sum(
            number
            for labels, number in found.items()
            if 'verb="get"' in labels and 'resource="pods"' in labels
        )

    first = pod_lists()
    wait_for("a resync", lambda: pod_lists() > first)
    refused = [
        labels
        for labels in metric(metrics_of(operator), "cascade_operator_api_requests_total")
        if 'code="403"' in labels
    ]
    assert refused == []
    assert "forbidden" not in operator.logged()
    assert "may not" not in operator.logged()


def test_what_cascade_rbac_writes_is_applied_and_serves_the_whole_cluster(
    control_plane, namespace, connect_api, tmp_path
):
    rest, name = control_plane.rest, f"{namespace}-operator"
    created = []
    for document in build_rbac(operator_namespace=namespace, name=name):
        manifest = document.whole()
        version, kind = manifest["apiVersion"], manifest["kind"].lower()
        base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        place = manifest["metadata"].get("namespace")
        collection = f"{base}/namespaces/{place}/{kind}s" if place else f"{base}/{kind}s"
        rest.create(collection, manifest)
        created.append((place, f"{collection}/{manifest['metadata']['name']}"))
    token = rest.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )["status"]["token"]
    user = control_plane.write_token_kubeconfig(tmp_path / "user", token, namespace)

    async def use():
        async with connect_api(user) as api:
            cluster = KubeCluster(api, defaults=Defaults())
            await granted(Lister(api, cluster.cache).fill)
            leases = KubeLeases(api, namespace, OPERATOR)
            await leases.write(Lease("me", 15))
            assert (await leases.read()).holder == "me"
            with pytest.raises(RefusedError, match="secrets"):
                await api.request("GET", "/api/v1/secrets")
            with pytest.raises(RefusedError, match="another"):
                await KubeLeases(api, namespace, "another").read()

    try:
        asyncio.run(use())
    finally:
        for place, path in created:
            if not place:
                rest.delete(path)


# Each verb is missed.


class Work:
    """The operator's adapter as a user, and the administrator beside it."""

    def __init__(self, api, rest, namespace, log):
        self.log = log
        self.api, self.rest, self.namespace = api, rest, namespace
        self.cluster = KubeCluster(api, defaults=Defaults())
        self.lister = Lister(api, self.cluster.cache, [namespace])
        self.key = SessionKey(namespace, NAME)
        self.raw = rest.get(sessions_path(namespace, NAME))
        self.cluster.cache.session_event(None, self.raw)

    def said(self):
        """What was said of a right that is missing."""
        lines = [record.getMessage() for record in self.log.records]
        return next((line for line in lines if "forbidden" in line), "")

    async def observed(self):
        return await self.cluster.observe(self.key)

    async def manifests(self):
        """What the planner would create first: a ConfigMap and a Job."""
        observed = await self.observed()
        await asyncio.to_thread(self.note_status, plan(observed, datetime.now(UTC)).status)
        actions = plan(await self.observed(), datetime.now(UTC)).actions
        config_map = next(a.manifest for a in actions if isinstance(a, CreateConfigMap))
        return config_map, next(a.manifest for a in actions if isinstance(a, CreateJob))

    def note_status(self, status):
        wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        path = sessions_path(self.namespace, NAME, "status")
        self.cluster.cache.session_event(None, self.rest.merge(path, {"status": wanted}))

    def path(self, plural, name=""):
        base = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
        return f"{base}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    # Each does what takes the verb of its name.

    async def list_(self):
        await self.lister.fill()

    async def get_changed(self):
        """A resync reads whole what its list of metadata shows to be newer."""
        found = await self.lister.resync()
        assert found.keys

    async def get_trainingsessions(self):
        self.rest.merge(sessions_path(self.namespace, NAME), {"metadata": {"labels": {"a": "b"}}})
        await self.get_changed()

    async def get_jobs(self):
        _, job = await self.manifests()
        self.rest.create(self.path("jobs"), job)
        await self.cluster.create(job)

    async def get_pods(self):
        _, job = await self.manifests()
        made = self.rest.create(self.path("jobs"), job)
        self.cluster.cache.job_event(None, made)
        selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
        await asyncio.to_thread(
            wait_for,
            "its pod",
            lambda: self.rest.get(self.path("pods"), labelSelector=selector)["items"],
        )
        await self.lister.resync()

    async def watch_(self):
        """Changes after the lists are heard; of what it may not it speaks, and tries again."""
        await self.lister.fill()
        stop, heard = asyncio.Event(), Heard()
        watching = asyncio.create_task(
            watch(self.api, heard, namespaces=[self.namespace], stop=stop)
        )
        _, job = await self.manifests()
        self.rest.create(self.path("jobs"), job)
        try:
            async with child_watches(self.lister, heard), asyncio.timeout(60):
                while not heard.all.is_set() and not self.said():
                    self.rest.merge(
                        sessions_path(self.namespace, NAME),
                        {"metadata": {"annotations": {"at": str(time.monotonic())}}},
                    )
                    selector = {"labelSelector": "cascade-operator.dev/session-uid"}
                    for plural in ("jobs", "pods"):
                        for one in self.rest.get(self.path(plural), **selector)["items"]:
                            self.rest.merge(
                                self.path(plural, one["metadata"]["name"]),
                                {"metadata": {"annotations": {"at": str(time.monotonic())}}},
                            )
                    await asyncio.sleep(0.1)
        finally:
            stop.set()
            with suppress(Exception):
                await watching
        if self.said():
            raise RefusedError(self.said(), reason="Forbidden")

    async def patch_trainingsessions_status(self):
        observed = await self.observed()
        await self.cluster.write_status(observed.session, plan(observed, datetime.now(UTC)).status)

    async def create_jobs(self):
        _, job = await self.manifests()
        await self.cluster.create(job)

    update_trainingsessions_finalizers = create_jobs

    async def delete_jobs(self):
        _, job = await self.manifests()
        self.cluster.cache.job_event(None, self.rest.create(self.path("jobs"), job))
        await self.cluster.delete("Job", (await self.observed()).session, job["metadata"]["name"])

    async def create_configmaps(self):
        config_map, _ = await self.manifests()
        await self.cluster.create(config_map)

    async def delete_configmaps(self):
        config_map, _ = await self.manifests()
        made = self.rest.create(self.path("configmaps"), config_map)
        self.cluster.cache.config_map_seen(made["metadata"], self.raw["metadata"]["uid"])
        session = (await self.observed()).session
        await self.cluster.delete("ConfigMap", session, config_map["metadata"]["name"])

    def published(self):
        labels = {"labels": {}, "annotations": {}}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "best", "namespace": self.namespace, **labels},
            "data": {"a": "b"},
        }

    async def get_configmaps(self):
        assert await ConfigMaps(self.api).read(self.namespace, "best") is None

    async def update_configmaps(self):
        made = self.rest.create(self.path("configmaps"), self.published())
        await ConfigMaps(self.api).write(self.published(), made)

    async def create_events(self):
        session = (await self.observed()).session
        await self.cluster.emit(session, Event(EventType.NORMAL, "Tried", "a test"))
        events = self.rest.get(self.path("events"))["items"]
        if not [one for one in events if one["reason"] == "Tried"]:
            raise RefusedError("cannot create resource events", reason="Forbidden")

    async def list_events(self):
        """Only the Job controller's events say why a Job has no pod."""
        _, job = await self.manifests()
        made = self.rest.create(
            self.path("jobs"), {**job, "spec": {**job["spec"], "suspend": True}}
        )
        uid, name = made["metadata"]["uid"], made["metadata"]["name"]
        self.rest.create(
            self.path("events"),
            {
                "metadata": {"name": "why", "namespace": self.namespace},
                "involvedObject": {"uid": uid, "name": name, "namespace": self.namespace},
                "reason": "FailedCreate",
                "message": "a webhook says no",
                "type": "Warning",
            },
        )
        old = f"{datetime.now(UTC) - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
        made["metadata"]["creationTimestamp"], made["spec"]["suspend"] = old, False
        self.cluster.cache.job_event(None, made)
        pods = (await self.observed()).pods
        if not pods:
            raise RefusedError("cannot list resource events", reason="Forbidden")
        assert pods[name].refused == "a webhook says no"

    def leases(self):
        return KubeLeases(self.api, self.namespace, OPERATOR)

    async def create_leases(self):
        await self.leases().write(Lease("me", 15))

    async def get_leases(self):
        await self.leases().read()

    async def update_leases(self):
        as_made = {
            "metadata": {"name": OPERATOR},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 1},
        }
        made = self.rest.create(
            f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases", as_made
        )
        version = made["metadata"]["resourceVersion"]
        await self.leases().write(Lease("me", 15, version=version))

    def of(self, verb):
        own = f"{verb.name}_{verb.resource.replace('/', '_')}"
        return getattr(self, own, None) or getattr(self, f"{verb.name}_")


class Heard:
    """A listener that waits for a change, not only a list, of each kind."""

    def __init__(self):
        self.kinds, self.all = set(), asyncio.Event()

    def _note(self, what, kind):
        if kind is not None:
            self.kinds.add(what)
        if len(self.kinds) == 3:
            self.all.set()

    def session_event(self, kind, raw):
        self._note("session", kind)

    def job_event(self, kind, raw):
        self._note("job", kind)

    def pod_event(self, kind, raw):
        self._note("pod", kind)


async def granted(act, seconds=60.0):
    """Does what is allowed, as soon as the API server has heard that it is."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await act()
        except RefusedError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_each_verb_is_needed(control_plane, namespace, service_account, connect_api, verb, caplog):
    """What takes the verb is refused without it, in words that name it, and works with it."""
    rest = control_plane.rest
    rest.create(sessions_path(namespace), session_manifest())
    fewer = service_account("fewer", namespace_rules=operator_rules(verb))
    whole = service_account("whole", namespace_rules=operator_rules())
    probe = next(one for one in VERBS if one != verb and one.name == "list")

    async def attempt(user, known):
        async with connect_api(user) as api:
            caplog.clear()
            work = Work(api, rest, namespace, caplog)
            # The rest of the rules is in force.
            await granted(lambda: api.request("GET", list_path(namespace, known)))
            await work.of(verb)()

    with pytest.raises(Exception, match=r"(?i)forbidden|cannot") as caught:
        asyncio.run(attempt(fewer, probe))
    said = str(caught.value)
    if verb.resource == "trainingsessions/finalizers":
        assert "can't set finalizers on" in said
    else:
        assert f'cannot {verb.name} resource "{verb.resource.split("/")[0]}' in said.replace(
            "resource events", 'resource "events'
        )
    clean(rest, namespace)
    asyncio.run(attempt(whole, probe))


def list_path(namespace, verb):
    groups = {"trainingsessions": "/apis/cascade-operator.dev/v1alpha1", "jobs": "/apis/batch/v1"}
    return f"{groups.get(verb.resource, '/api/v1')}/namespaces/{namespace}/{verb.resource}"


def clean(rest, namespace):
    """Removes what the refused attempt had the administrator make."""
    rest.delete(sessions_path(namespace, NAME), propagationPolicy="Background")
    for path in (
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{OPERATOR}",
        f"/api/v1/namespaces/{namespace}/configmaps/best",
        f"/api/v1/namespaces/{namespace}/events/why",
    ):
        with suppress(ApiError):
            rest.delete(path)
    rest.create(sessions_path(namespace), session_manifest())


# Told at once.


def test_an_operator_without_a_right_says_so_is_not_ready_and_recovers(
    control_plane, namespace, service_account, start_operator
):
    lacking = (Verb("jobs", "delete"), Verb("events", "create"))
    user = service_account("few", namespace_rules=operator_rules(*lacking))
    operator = start_operator(kubeconfig=user, ready=False)

    def told():
        lines = [json.loads(line) for line in operator.logged().splitlines()]
        return [one["message"] for one in lines if "may not" in one["message"]]

    (message,) = wait_for("it says what is missing", told)
    assert f"delete jobs.batch in namespace {namespace}" in message
    assert f"create events in namespace {namespace}" in message
    assert "cascade rbac" in message
    assert operator.running
    operator.wait_healthy()
    assert not operator.answers("readyz")
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/few"
    control_plane.rest.merge(role, {"rules": operator_rules()})
    operator.wait_ready(30)
    assert "has all its rights now" in operator.logged()
