"""``cascade run`` in this process with workers that do what a script says."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from cascade_operator.api.session import TrainingSession
from cascade_operator.local.session_run import run_session
from fakes import local_worker

NODES = [
    {"name": "first", "signature": "request -> brief"},
    {"name": "second", "signature": "brief -> answer"},
]
SPEC = {
    "cascade": {"tiers": [{"name": "all", "code": 0, "nodes": NODES}]},
    "traces": {"persistentVolumeClaim": {"claimName": "traces"}},
    "models": {
        "task": {"endpoint": "http://model.invalid"},
        "embedding": {"endpoint": "http://model.invalid"},
    },
    "redis": {"url": "unix:///nonexistent/redis.sock"},
    "resources": {"group": {"limits": {"memory": "256Mi"}}},
}


def session(**spec):
    return TrainingSession.model_validate(
        {
            "apiVersion": "cascade-operator.dev/v1alpha1",
            "kind": "TrainingSession",
            "metadata": {"name": "triage"},
            "spec": SPEC | spec,
        }
    )


class Command:
    """``cascade run`` with scripted workers; may be started several times on one folder."""

    def __init__(self, folder: Path, script=None):
        self.folder = folder
        self.snapshots = []
        self.script(script or {})

    def script(self, script):
        (self.folder / "script.json").write_text(json.dumps(script))

    def run(self, wanted=None, *, retrain=False, stop_when=None):
        return asyncio.run(self._run(wanted or session(), retrain, stop_when))

    async def _run(self, wanted, retrain, stop_when):
        stop = asyncio.Event()
        self.snapshots.clear()

        def on_update(snapshot):
            self.snapshots.append(snapshot)
            if stop_when is not None and stop_when(snapshot):
                stop.set()

        async with asyncio.timeout(60):
            return await run_session(
                wanted,
                self.folder,
                self.folder / "state",
                on_update=on_update,
                stop=stop,
                retrain=retrain,
                worker=worker_at(self.folder),
            )

    def starts(self, name):
        return self._lines(f"{name}.starts")

    def ends(self, name):
        return self._lines(f"{name}.ends")

    def _lines(self, name):
        file = self.folder / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def hangs(self, name="group-00"):
        return (self.folder / f"{name}.hangs").exists()


def worker_at(folder):
    return [sys.executable, "-I", "-S", local_worker.__file__, str(folder / "script.json")]
