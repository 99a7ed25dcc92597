"""What the planner builds, on a real API server: accepted strictly, run, and read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from api.custom_resource import ROOT, sessions_path
from api.rest import wait_for
from api.scenarios import scenario
from cascade_operator.api.manifest import read_manifest
from cascade_operator.api.records import GroupResult, PrepareResult, decode_message
from cascade_operator.api.resolve import Defaults
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.control.domain.model import (
    CreateConfigMap,
    CreateJob,
    JobState,
    JobView,
    Observed,
    SessionView,
)
from cascade_operator.control.domain.plan import plan
from cascade_operator.control.manifests.env import CONFIG_FILE

NOW = datetime.now(UTC)


class Planned:
    """The quickstart as a session on the server, and what the planner says about it."""

    def __init__(self, rest, namespace):
        manifest = read_manifest((ROOT / "examples" / "quickstart.yaml").read_bytes())
        annotations = scenario(**{"run-seconds": "0.1"})
        manifest["spec"]["jobTemplate"] = {"metadata": {"annotations": annotations}}
        created = rest.create(sessions_path(namespace), manifest)
        self.rest, self.namespace = rest, namespace
        self.jobs: dict[str, JobView] = {}
        self.view = SessionView(
            name=created["metadata"]["name"],
            namespace=namespace,
            uid=created["metadata"]["uid"],
            generation=1,
            spec=TrainingSessionSpec.model_validate(created["spec"]),
            problems=(),
            status=TrainingSessionStatus(),
        )

    def step(self):
        """Plans twice, as the first only writes the status; returns the second's actions."""
        for _ in range(2):
            observed = Observed(self.view, self.jobs, frozenset(), {}, Defaults())
            step = plan(observed, NOW)
            self.view = replace(self.view, status=step.status)
        return step.actions

    def create(self, manifest):
        kind, group = manifest["kind"], manifest["apiVersion"]
        base = f"/api/{group}" if group == "v1" else f"/apis/{group}"
        path = f"{base}/namespaces/{self.namespace}/{kind.lower()}s"
        return self.rest.create(path, manifest)

    def run(self, manifest):
        """Creates a Job and waits for its worker's message, which ends it for the planner."""
        name, marks = manifest["metadata"]["name"], manifest["metadata"]["labels"]
        self.create(manifest)
        message = wait_for(f"the message of {name}", lambda: self._message(name))
        self.jobs[name] = JobView(
            name=name,
            labels=marks,
            state=JobState.SUCCEEDED,
            started=NOW,
            finished=NOW,
            exit_code=0,
            message=message,
        )
        return message

    def _message(self, name):
        selector = f"batch.kubernetes.io/job-name={name}"
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        for pod in self.rest.get(path, labelSelector=selector)["items"]:
            for status in pod["status"].get("containerStatuses", []):
                if end := status["state"].get("terminated"):
                    return decode_message(end["message"])
        return None


@pytest.fixture
def planned(control_plane, namespace):
    return Planned(control_plane.rest, namespace)


def test_jobs_of_a_run_are_accepted_and_run_where_pods_are_restricted(
    control_plane, planned, namespace, claims
):
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    control_plane.rest.merge(
        f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": restricted}}
    )
    config, prepare = planned.step()
    assert isinstance(config, CreateConfigMap)
    kept = planned.create(config.manifest)
    assert kept["immutable"] is True
    assert RunConfig.model_validate_json(kept["data"][CONFIG_FILE]).run == 1
    assert isinstance(planned.run(prepare.manifest), PrepareResult)

    groups = [action for action in planned.step() if isinstance(action, CreateJob)]
    assert len(groups) == 2
    for action in groups:
        message = planned.run(action.manifest)
        assert isinstance(message, GroupResult)
        marks = action.manifest["metadata"]["labels"]
        assert message.group == marks["cascade-operator.dev/group"]


def test_the_server_keeps_of_a_job_what_was_written(planned):
    prepare = planned.step()[1].manifest
    served = planned.create(prepare)
    assert _missing(prepare["spec"], served["spec"]) == []
    assert _missing(prepare["metadata"], served["metadata"]) == []


def test_children_go_with_their_session(control_plane, planned, namespace):
    for action in planned.step():
        planned.create(action.manifest)
    rest = control_plane.rest
    rest.delete(sessions_path(namespace, planned.view.name), propagationPolicy="Foreground")

    def left():
        jobs = rest.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
        pods = rest.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        maps = rest.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]
        return [*jobs, *pods, *(m for m in maps if m["metadata"].get("ownerReferences"))]

    wait_for("all children are gone", lambda: not left())
    sessions = sessions_path(namespace)
    wait_for("the session itself is gone", lambda: not rest.get(sessions)["items"])


def test_the_quickstart_is_what_the_models_read(planned):
    text = (ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8")
    written = TrainingSessionSpec.model_validate(yaml.safe_load(text)["spec"])
    assert planned.view.spec.model_copy(update={"job_template": written.job_template}) == written


def _missing(written, served, path=""):
    """Paths of what the server dropped or changed."""
    if isinstance(written, dict):
        return [
            one
            for name, value in written.items()
            for one in (
                _missing(value, served[name], f"{path}.{name}")
                if name in served
                else [f"{path}.{name}"]
            )
        ]
    if isinstance(written, list):
        pairs = enumerate(zip(written, served, strict=True))
        return [one for at, (a, b) in pairs for one in _missing(a, b, f"{path}[{at}]")]
    return [] if written == served else [f"{path}: {written!r} became {served!r}"]
