"""Sessions that cannot start: each says why and what to do, and goes on once that is mended."""

from __future__ import annotations

import pytest

from api.claims import ARCHIVES, create_claim
from api.rest import wait_for
from api.session_bed import SessionBed

QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
LIMITS = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"}}
HUGE = {"prepare": {"requests": {"cpu": "500"}}}


@pytest.fixture(scope="module")
def blocked(bed: SessionBed):
    """All cases at once: they wait side by side."""
    rest = bed.rest

    def with_object(plural, body, **spec):
        def make(kwargs):
            namespace = bed.namespace()
            rest.create(f"/api/v1/namespaces/{namespace}/{plural}", body)
            if plural == "resourcequotas":
                _wait_for_quota(rest, namespace)
            return bed.session(namespace, **{**kwargs, **spec})

        return make

    cases = {
        "claim": lambda kw: bed.session(bed.namespace(claim=False), **kw),
        "image": lambda kw: bed.session(play={"outcome.a1": "image-pull"}, **kw),
        "secret": lambda kw: bed.session(play={"outcome.a1": "config-error"}, **kw),
        "room": lambda kw: bed.session(resources=HUGE, **kw),
        "job quota": with_object(
            "resourcequotas", {**QUOTA, "spec": {"hard": {"count/jobs.batch": "0"}}}
        ),
        "pod quota": with_object(
            "resourcequotas", {**QUOTA, "spec": {"hard": {"limits.memory": "64Mi"}}}
        ),
        "limit range": with_object(
            "limitranges",
            {**LIMITS, "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}},
        ),
        "template": lambda kw: bed.session(
            jobTemplate={"spec": {"nodeSelector": {"no label": "is like this"}}}, **kw
        ),
        "security": lambda kw: bed.session(
            bed.namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"}),
            jobTemplate={"spec": {"hostNetwork": True}},
            **kw,
        ),
        "deadline": lambda kw: bed.session(
            play={"outcome": "image-pull"}, startDeadlineSeconds=1, **kw
        ),
    }
    return {name: make({"name": name.replace(" ", "-")}) for name, make in cases.items()}


def _wait_for_quota(rest, namespace):
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/small"
    wait_for("the quota is counted", lambda: rest.get(path)["status"].get("used"))


CASES = [
    pytest.param("claim", "VolumeUnavailable", ARCHIVES, "create the Persist", id="no claim"),
    pytest.param("image", "ImageUnavailable", "ImagePullBackOff", "spec.image", id="no image"),
    pytest.param("secret", "ConfigUnavailable", '"missing"', "create the Secret", id="no secret"),
    pytest.param("room", "Unschedulable", "Insufficient cpu", "spec.resources", id="no room"),
    pytest.param("job quota", "QuotaExceeded", "count/jobs.batch", "raise", id="quota of Jobs"),
    pytest.param("pod quota", "QuotaExceeded", "limits.memory", "raise", id="quota of memory"),
    pytest.param("limit range", "PodRefused", "maximum memory", "LimitRange", id="limit range"),
    pytest.param("template", "JobRefused", "nodeSelector", "spec.jobTemplate", id="bad template"),
    pytest.param("security", "PodRefused", "hostNetwork", "spec.jobTemplate", id="pod security"),
]


@pytest.mark.parametrize(("case", "reason", "words", "mend"), CASES)
def test_it_says_why_and_what_to_do(blocked, case, reason, words, mend):
    session = blocked[case]
    ready = session.wait_reason(reason)
    assert ready["status"] == "False"
    assert words in ready["message"]
    assert mend in ready["message"]
    assert session.status()["phase"] == "Preparing"
    final = reason == "JobRefused"
    assert ("Stalled" in session.true()) is final
    assert ("Reconciling" in session.true()) is not final
    told = [event for event in session.events() if event["reason"] == reason]
    assert [event["type"] for event in told] == ["Warning"]


def test_what_waits_too_long_is_stalled(blocked):
    session = blocked["deadline"]
    session.wait("Stalled", lambda s: any(c["type"] == "Stalled" for c in s["conditions"]))
    assert session.true()["Stalled"] == "ImageUnavailable"
    assert "Reconciling" not in session.true()


def _drop(plural, name):
    def mend(session):
        session.rest.delete(f"/api/v1/namespaces/{session.namespace}/{plural}/{name}")

    return mend


def _merge(**spec):
    return lambda session: session.patch(**spec)


MENDS = [
    pytest.param("claim", lambda s: create_claim(s.rest, s.namespace), id="claim"),
    pytest.param("job quota", _drop("resourcequotas", "small"), id="quota of Jobs"),
    pytest.param("pod quota", _drop("resourcequotas", "small"), id="quota of memory"),
    pytest.param("limit range", _drop("limitranges", "narrow"), id="limit range"),
    pytest.param(
        "template",
        _merge(jobTemplate={"spec": {"nodeSelector": {"no label": None}}}),
        id="bad template",
    ),
]


@pytest.fixture(scope="module")
def mended(blocked):
    """All of them, mended at once after each has said why it waits."""
    for param in CASES:
        case, reason = param.values[:2]
        blocked[case].wait_reason(reason)
    for param in MENDS:
        case, mend = param.values
        mend(blocked[case])
    return blocked


@pytest.mark.parametrize("case", [param.values[0] for param in MENDS])
def test_it_goes_on_by_itself_once_mended(mended, case):
    session = mended[case]
    session.wait_phase("Complete")
    assert session.status()["run"]["number"] == 1
    assert session.true() == {"Ready": "Complete", "Complete": "Complete"}
