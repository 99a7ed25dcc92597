"""What befalls Jobs: memory, exit codes, missing messages, evicted pods, a node that is lost."""

from __future__ import annotations

import re
import urllib.request

import pytest

from api.kwok import lost_node
from api.rest import wait_for
from api.session_bed import SessionBed

pytestmark = pytest.mark.faults

LIMIT = 1024**3


@pytest.fixture(scope="module")
def sessions(bed: SessionBed):
    """All cases at once; each makes its way side by side with the others."""
    namespace = bed.namespace()
    cases = {
        "oom": {"outcome.00.a1": "oom"},
        "gate": {"outcome.01.a1": "gate"},
        "most": {"outcome.00": "oom"},
        "spec": {"outcome.00": "fail-64"},
        "data": {"outcome.prepare": "fail-65"},
        "gone": {"outcome.00_01.a1": "fail-66"},
        "service": {"outcome.prepare.a1": "fail-69"},
        "silent": {"outcome.00": "no-message"},
        "garbage": {"outcome.00_01": "garbage-message"},
        "evict": {"outcome.00": "evict"},
        "stopped": {"outcome.prepare.a1": "fail-143"},
    }
    # No stage may be declared with more than a Job may have.
    small = {"limits": {"memory": "1Gi"}}
    least = {"prepare": small, "archive": small}
    memory = {"most": {"memory": {"maxPerJob": "1536Mi"}, "resources": least}}
    return {
        name: bed.session(namespace, name=name, play=play, **memory.get(name, {}))
        for name, play in cases.items()
    }


def group(session, name):
    return next(g for g in session.status()["groups"] if g["name"] == name)


def limits(session, key):
    """The memory limits of a group's attempts, in order."""
    jobs = session.group_jobs().values()
    own = [j for j in jobs if j["metadata"]["labels"]["cascade-operator.dev/group"] == key]
    own.sort(key=lambda job: int(job["metadata"]["labels"]["cascade-operator.dev/attempt"]))
    pods = [job["spec"]["template"]["spec"]["containers"][0] for job in own]
    return [pod["resources"]["limits"]["memory"] for pod in pods]


@pytest.mark.parametrize(("case", "key"), [("oom", "00"), ("gate", "01")])
def test_out_of_memory_is_tried_again_with_more(sessions, case, key):
    session = sessions[case]
    session.wait_phase("Complete")
    found = group(session, key)
    assert (found["attempt"], found["phase"]) == (2, "Succeeded")
    assert limits(session, key) == ["1Gi", "1536Mi"]
    assert found["memoryLimit"] == "1536Mi"
    assert found.get("failures", 0) == 0, "an escalation is no failure"
    assert session.true()["MemoryLimited"] == "LimitRaised"
    assert key in session.conditions()["MemoryLimited"]["message"]


def test_the_most_per_job_is_the_end_of_it(sessions):
    session = sessions["most"]
    session.wait_phase("Failed")
    assert limits(session, "00") == ["1Gi", "1536Mi"]
    assert group(session, "00")["reason"] == "MemoryLimitReached"
    assert session.true() == {
        "Stalled": "GroupsFailed",
        "Failed": "GroupsFailed",
        "MemoryLimited": "MemoryLimitReached",
    }
    assert group(session, "01")["phase"] == "Succeeded", "a failed group stops no other"


def test_what_the_kernel_killed_is_counted(bed, sessions):
    for case in ("oom", "gate"):
        sessions[case].wait_phase("Complete")
    sessions["most"].wait_phase("Failed")
    url = f"http://127.0.0.1:{bed.operator.metrics_port}/metrics"
    text = urllib.request.urlopen(url, timeout=60).read().decode()
    kills = sum(float(n) for n in re.findall(r"^cascade\w*oom_kills_total\S* (\S+)$", text, re.M))
    raised = sum(
        float(n) for n in re.findall(r"^cascade\w*escalations_total\S* (\S+)$", text, re.M)
    )
    assert kills == 3, "one of the first session, two of the one that had no more to give"
    assert raised == 3, "and one escalation for each of the three sessions"


def test_a_bad_spec_is_not_tried_again(sessions):
    session = sessions["spec"]
    session.wait_phase("Failed")
    found = group(session, "00")
    assert (found["attempt"], found["phase"]) == (1, "Failed")
    assert session.true()["Failed"] == "GroupsFailed"
    assert "00" in session.conditions()["Failed"]["message"]


def test_bad_data_ends_the_run_with_the_worker_s_words(sessions):
    session = sessions["data"]
    session.wait_phase("Failed")
    assert session.true() == {"Stalled": "PrepareFailed", "Failed": "PrepareFailed"}
    assert "the test bed's worker failed with 65" in session.ready()["message"]


@pytest.mark.parametrize("case", ["service", "stopped"])
def test_what_may_pass_is_tried_again_after_a_pause(sessions, case):
    session = sessions[case]
    session.wait_phase("Complete")
    assert session.status()["run"]["prepare"]["attempt"] == 2
    reasons = [
        condition["reason"]
        for raw in session.versions()
        for condition in raw["status"].get("conditions", [])
        if condition["type"] == "Ready"
    ]
    assert "Retrying" in reasons or case == "stopped"


def test_gone_data_is_prepared_again_without_training_all_again(sessions):
    session = sessions["gone"]
    session.wait_phase("Complete")
    attempts = {g["name"]: g["attempt"] for g in session.status()["groups"]}
    assert attempts["00_01"] == 2
    assert session.status()["run"]["prepare"]["attempt"] == 2


@pytest.mark.parametrize(("case", "key"), [("silent", "00"), ("garbage", "00_01")])
def test_a_missing_message_is_filled_in_or_said(sessions, case, key):
    session = sessions[case]
    session.wait_phase("Complete")
    found = group(session, key)
    assert found["phase"] == "Succeeded"
    seen = [
        g.get("reason")
        for raw in session.versions()
        for g in raw["status"].get("groups", [])
        if g["name"] == key
    ]
    assert "FiguresPending" in seen


def test_an_evicted_pod_is_replaced_and_told_and_costs_no_attempt(sessions):
    session = sessions["evict"]
    session.wait(
        "the disruption is told",
        lambda s: any(g.get("reason") == "Disrupted" for g in s.get("groups", [])),
    )
    assert "Disrupted" in wait_for(
        "the event", lambda: (r := session.reasons()) and "Disrupted" in r and r
    )
    found = group(session, "00")
    assert (found["attempt"], found["phase"]) == (1, "Running")
    session.patch(jobTemplate={"metadata": {"annotations": None}})
    # The Job replaces its pod after ten seconds.
    pod = wait_for("another pod", lambda: _fresh(session))
    session.play(pod, **{"outcome.00": "complete"})
    session.wait_phase("Complete")
    assert group(session, "00")["attempt"] == 1


def _fresh(session):
    for pod in session.pods().values():
        labels = pod["metadata"]["labels"]
        if labels.get("cascade-operator.dev/group") == "00" and pod["status"]["phase"] in (
            *("Pending", "Running"),
        ):
            return pod
    return None


def test_a_lost_node_costs_no_attempt(bed):
    session = bed.session(name="node", play={"outcome.prepare": "hold"})
    pod = wait_for(
        "prepare runs",
        lambda: next(
            (p for p in session.pods().values() if p["status"]["phase"] == "Running"), None
        ),
    )
    with lost_node(bed.rest, pod["spec"]["nodeName"]):
        wait_for("the event", lambda: "Disrupted" in session.reasons())
        other = wait_for(
            "another pod",
            lambda: next(
                (
                    p
                    for p in session.pods().values()
                    if p["metadata"]["uid"] != pod["metadata"]["uid"]
                    and p["status"]["phase"] == "Running"
                ),
                None,
            ),
        )
    session.play(other, **{"outcome.prepare": "complete"})
    session.wait_phase("Complete")
    assert session.status()["run"]["prepare"]["attempt"] == 1
