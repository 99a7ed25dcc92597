"""The watches against a real API server: what is heard, what is not, and nothing is written."""

from __future__ import annotations

import asyncio
import time

import yaml

from api.custom_resource import ROOT, sessions_path
from cascade_operator.control.kube.cache import WatchCache
from cascade_operator.control.kube.listing import Lister
from cascade_operator.control.manifests.labels import SESSION_UID
from cascade_operator.control.runtime.kopf_app import watch
from fakes.child_watches import child_watches


class Listener:
    """Keeps what it was told: kind, type and name."""

    def __init__(self):
        self.heard = []

    def _note(self, what, kind, raw):
        self.heard.append((what, kind, raw["metadata"]["name"]))

    def session_event(self, kind, raw):
        self._note("session", kind, raw)

    def job_event(self, kind, raw):
        self._note("job", kind, raw)

    def pod_event(self, kind, raw):
        self._note("pod", kind, raw)

    async def until(self, *events):
        """Waits until all of these were heard."""
        end = time.monotonic() + 60
        while missing := set(events) - set(self.heard):
            assert time.monotonic() < end, f"not heard: {missing}; heard: {self.heard}"
            await asyncio.sleep(0.02)


def job(name, labels):
    container = {"name": "worker", "image": "busybox"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "suspend": True,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }


def test_changes_are_heard_by_label_and_nothing_is_written(control_plane, namespace, connect_api):
    rest = control_plane.rest
    sessions, jobs = sessions_path(namespace), f"/apis/batch/v1/namespaces/{namespace}/jobs"
    manifest = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8"))
    ours = {SESSION_UID: "1234"}

    def named(name):
        return {**manifest, "metadata": {"name": name}}

    async def listen():
        listener, stop = Listener(), asyncio.Event()
        async with connect_api() as api:
            lister = Lister(api, WatchCache(), [namespace])
            await lister.fill()
            watching = asyncio.create_task(watch(api, listener, namespaces=[namespace], stop=stop))
            async with child_watches(lister, listener):
                # kopf lists sessions by itself; what comes is told.
                await listener.until(("session", None, "old"))
                rest.create(sessions, named("new"))
                rest.create(jobs, job("foreign", {"app": "other"}))
                rest.create(jobs, job("new", ours))
                await listener.until(("session", "ADDED", "new"), ("job", "ADDED", "new"))
                rest.merge(f"{sessions}/new", {"spec": {"parallelism": 3}})
                rest.merge(f"{jobs}/foreign", {"spec": {"suspend": False}})
                rest.merge(f"{jobs}/new", {"spec": {"suspend": False}})
                await listener.until(("session", "MODIFIED", "new"), ("job", "MODIFIED", "new"))
                while not [one for one in listener.heard if one[:2] == ("pod", "ADDED")]:
                    await asyncio.sleep(0.02)
                rest.delete(f"{sessions}/new")
                rest.delete(f"{jobs}/new", propagationPolicy="Background")
                await listener.until(("session", "DELETED", "new"), ("job", "DELETED", "new"))
            began = time.monotonic()
            stop.set()
            await watching
            assert time.monotonic() - began < 10
        return listener.heard

    old_session = rest.create(sessions, named("old"))
    rest.create(jobs, job("old", ours))
    heard = asyncio.run(listen())
    assert not [name for _, _, name in heard if name.startswith("foreign")]
    now = rest.get(f"{sessions}/old")
    # No finalizer, no annotation, no status: nothing of it was written since it was made.
    assert now == old_session
    events = rest.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    assert [e for e in events if e["involvedObject"]["kind"] == "TrainingSession"] == []
