"""Sessions that pods train on a real node, to their end."""

from __future__ import annotations

import pyarrow.parquet as pq
import yaml

from api.custom_resource import GROUP_VERSION, ROOT, sessions_path
from api.rest import wait_for
from api.session_bed import brief
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.traces.bfcl import import_bfcl
from cluster.network import ADDRESS
from cluster.sessions import (
    archive_files,
    assert_verified,
    create_session,
    sizes_of,
    ticket_session_on,
    wait_end,
)
from fakes.model_answers import answers_of_trace
from fakes.model_server import FakeModelServer


def test_a_session_of_seven_groups_is_trained_by_pods_to_its_archives(bed, team, models):
    session = ticket_session_on(bed, team, models.url, parallelism=3)
    status = wait_end(bed, session)
    assert status["phase"] == "Complete", brief(status)
    groups = {group["name"]: group for group in status["groups"]}
    assert set(groups) == {"00", "01", "02", "00_01", "00_02", "01_02", "00_01_02"}
    assert all(group["phase"] == "Succeeded" for group in groups.values()), brief(status)
    assert all(0 <= float(group["score"]) <= 1 for group in groups.values())
    # A real interpreter with its libraries: nobody made these figures up.
    peaks = {name: parse_quantity(group["peakMemory"]) >> 20 for name, group in groups.items()}
    assert min(peaks.values()) > 32, peaks
    assert {entry["node"] for entry in status["attribution"]} == {"classify", "extract", "decide"}
    files = archive_files(bed, team)
    assert sizes_of(files) == ["01", "02", "03"], files
    assert_verified(files)
    bed.rest.delete(sessions_path(team, session.name))
    wait_for("Jobs and pods are gone", lambda: not {**session.jobs(), **session.pods()})
    assert all(file.exists() for file in files), "archives stay"


def test_real_function_calls_train_fifteen_groups_of_the_default_agents(bed, team, tmp_path):
    traces = tmp_path / "traces.parquet"
    spec = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())["spec"]
    about = spec["traces"]
    # The worker draws the same records from the data in its image.
    import_bfcl(
        traces, max_records=about["maxRecords"], max_prompt_chars=about["maxPromptChars"], seed=42
    )
    answers = [answers_of_trace(row) for row in pq.read_table(traces).to_pylist()]
    with FakeModelServer(answers, host=ADDRESS) as server:
        task = {"provider": "OpenAI", "model": "fake", "endpoint": server.url}
        spec["models"]["task"] |= task
        spec["models"]["embedding"] = {"endpoint": server.url}
        spec["parallelism"] = 15
        document = {
            "apiVersion": GROUP_VERSION,
            "kind": "TrainingSession",
            "metadata": {"name": "quickstart"},
            "spec": spec,
        }
        session = create_session(bed, team, document)
        status = wait_end(bed, session, seconds=900)
    assert status["phase"] == "Complete", brief(status)
    assert len(status["groups"]) == 15
    assert {group["phase"] for group in status["groups"]} == {"Succeeded"}, brief(status)
    assert len(status["attribution"]) == 4
    pods = [
        pod
        for pod in session.pods().values()
        if pod["metadata"]["labels"]["cascade-operator.dev/stage"] == "group"
    ]
    assert len(pods) == 15
    assert {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in pods} == {
        "1Gi"
    }
    files = archive_files(bed, team)
    assert sizes_of(files) == ["01", "02", "03", "04"], files
    assert_verified(files)
