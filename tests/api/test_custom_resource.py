"""The CRD on a real API server: its rules, defaults and columns, and the examples applied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.custom_resource import GROUP_VERSION, ROOT, install_crd, sessions_path
from api.rest import ApiError
from cascade_operator.api.cel_rules import CEL_RULES
from cascade_operator.api.manifest import read_manifest

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def session(name="one", **spec):
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "TrainingSession",
        "metadata": {"name": name},
        "spec": {"traces": {"import": "bfcl"}, **spec},
    }


def _tier(name="t", code=0, *nodes):
    return {"name": name, "code": code, "nodes": list(nodes) or [_node("n")]}


def _node(name, **fields):
    return {"name": name, "signature": "a -> b"} | fields


def _cascade(*tiers):
    return {"cascade": {"tiers": list(tiers)}}


def _limits(**memory):
    return {stage: {"limits": {"memory": amount}} for stage, amount in memory.items()}


_FIELD = {"name": "a"}

# Each sample is wrong in one way alone.
SAMPLES: dict[str, dict[str, Any]] = {
    **{
        f"resources.{stage}.limits.memory must be at most memory.{bound}": {
            "memory": {"maxPerJob": "4Gi", "budget": "8Gi"} if bound == "maxPerJob"
            else {"budget": "4Gi"},
            "resources": _limits(**{stage: "5Gi"}),
        }
        for stage in ("prepare", "group", "archive")
        for bound in ("maxPerJob", "budget")
    },
    "maxPerJob must be at most budget": {"memory": {"maxPerJob": "8Gi", "budget": "4Gi"}},
    "requests.memory must be at most limits.memory": {
        "resources": {"group": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}
    },
    "exactly one of import, persistentVolumeClaim and file is needed": {
        "traces": {"import": "bfcl", "file": "traces.jsonl"}
    },
    "validationFraction and heldOutFraction must sum up to less than 1: the rest trains": {
        "traces": {"import": "bfcl", "validationFraction": 0.5, "heldOutFraction": 0.5}
    },
    "reduction.dimensions must be at most embedding.dimensions": {
        "models": {"embedding": {"dimensions": 32}, "reduction": {"dimensions": 64}}
    },
    "function is needed where metric is Custom, and nowhere else": {
        "objective": {"metric": "Custom"}
    },
    "at most 6 nodes in all: each subset of them is a Job": _cascade(
        _tier("t", 0, *(_node(f"n{i}") for i in range(4))),
        _tier("u", 1, *(_node(f"m{i}") for i in range(4))),
    ),
    "tier codes must ascend": _cascade(_tier("t", 5), _tier("u", 5, _node("m"))),
    "tier names must be unique": _cascade(_tier("t", 0), _tier("t", 1, _node("m"))),
    "node names must be unique in the whole cascade": _cascade(_tier("t", 0), _tier("u", 1)),
    "a node needs a signature, or inputs and outputs, unless it is a default agent": _cascade(
        _tier("t", 0, {"name": "n", "inputs": [_FIELD]})
    ),
    "a signature and typed inputs or outputs say the same twice": _cascade(
        _tier("t", 0, _node("n", inputs=[_FIELD], outputs=[{"name": "b"}]))
    ),
}  # fmt: skip


def test_it_installs_with_all_its_rules(control_plane):
    found = install_crd(control_plane.rest)
    kept = json.dumps(found["spec"]["versions"][0]["schema"])
    assert kept.count('"rule":') == sum(len(rules) for rules in CEL_RULES.values())
    names = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert names["Established"] == "True"
    assert "NonStructuralSchema" not in names


def test_each_rule_has_a_sample():
    assert SAMPLES.keys() == {message for rules in CEL_RULES.values() for _, message in rules}


@pytest.mark.parametrize("message", SAMPLES)
def test_a_sample_is_refused_by_the_rule_meant_for_it(control_plane, message):
    with pytest.raises(ApiError) as caught:
        control_plane.rest.create(
            sessions_path("default"), session(**SAMPLES[message]), dryRun="All"
        )
    assert caught.value.status == 422
    said = str(caught.value)
    assert message in said
    # No other rule speaks up: the sample would show nothing of its own.
    assert [other for other in SAMPLES if other in said] == [message]


@pytest.mark.parametrize("stage", ["prepare", "archive"])
def test_requests_are_held_against_limits_in_every_stage(control_plane, stage):
    amounts = {"requests": {"memory": "3Gi"}, "limits": {"memory": "1Gi"}}
    with pytest.raises(ApiError, match=r"requests\.memory must be at most limits\.memory"):
        control_plane.rest.create(
            sessions_path("default"), session(resources={stage: amounts}), dryRun="All"
        )


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"optimizer": {"trails": 3}}, 'unknown field "spec.optimizer.trails"'),
        ({"optimizer": {"trials": "3"}}, "must be of type integer"),
        ({"parallelism": 0}, "should be greater than or equal to 1"),
        ({"resources": {"group": {"limits": {"memory": "much"}}}}, "spec.resources.group.limits"),
    ],
    ids=["unknown-field", "number-as-text", "out-of-bounds", "no-quantity"],
)
def test_the_schema_refuses_what_the_models_refuse(control_plane, spec, said):
    with pytest.raises(ApiError) as caught:
        control_plane.rest.create(sessions_path("default"), session(**spec), dryRun="All")
    assert said in str(caught.value)


def test_a_new_session_shows_that_nobody_has_seen_it(control_plane, namespace):
    rest = control_plane.rest
    written = {**session(), "status": {"observedGeneration": 1, "phase": "Complete"}}
    created = rest.create(sessions_path(namespace), written)
    assert created["status"] == {"observedGeneration": -1, "phase": "Pending"}
    assert created["metadata"]["generation"] == 1


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_applied_example_gains_no_key_inside_a_list(kubectl, example):
    written = read_manifest(example.read_bytes())
    kubectl("apply", "-f", str(example))
    served = json.loads(kubectl("get", "ts", written["metadata"]["name"], "-o", "json"))
    # More than what was written, as the defaults say, but none of it where a diff would show it.
    assert len(json.dumps(served["spec"])) > len(json.dumps(written["spec"]))
    assert _additions_in_lists(written["spec"], served["spec"], "spec", within=False) == []
    assert "unchanged" in kubectl("apply", "-f", str(example))


def test_sessions_are_listed_with_their_columns(control_plane, kubectl, namespace):
    rest = control_plane.rest
    created = rest.create(sessions_path(namespace), session("triage"))
    status = {
        "observedGeneration": 1,
        "phase": "Training",
        "groupsSummary": "3/15",
        "progress": {"percent": 20},
        "best": {"group": "00_01", "score": "0.7125"},
        "run": {
            "number": 2,
            "sessionId": "20260301T120000Z",
            "specHash": "v1-0123456789abcdef",
            "startTime": created["metadata"]["creationTimestamp"],
        },
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Training",
                "message": "3 of 15 groups are done",
                "lastTransitionTime": created["metadata"]["creationTimestamp"],
            }
        ],
    }
    rest.merge(sessions_path(namespace, "triage", "status"), {"status": status})
    head, row = kubectl("get", "ts").splitlines()
    assert head.split() == ["NAME", "PHASE", "PROGRESS", "GROUPS", "BEST", "RUN", "AGE"]
    assert row.split()[:6] == ["triage", "Training", "20", "3/15", "0.7125", "2"]
    wide = kubectl("get", "ts", "-o", "wide").splitlines()[1].split()
    assert {"false", "00_01", "20260301T120000Z", "Training"} <= set(wide)
    assert "triage" in kubectl("get", "cascade")
    kubectl("wait", "--for=condition=Ready", "ts/triage", "--timeout=60s")


def _additions_in_lists(written: Any, served: Any, path: str, *, within: bool) -> list[str]:
    """Paths inside lists that the server has and the manifest has not."""
    if isinstance(written, dict):
        added = [f"{path}.{name}" for name in served if name not in written] if within else []
        return added + [
            one
            for name, value in written.items()
            for one in _additions_in_lists(value, served[name], f"{path}.{name}", within=within)
        ]
    if isinstance(written, list):
        assert len(written) == len(served), path
        return [
            one
            for at, (mine, theirs) in enumerate(zip(written, served, strict=True))
            for one in _additions_in_lists(mine, theirs, f"{path}[{at}]", within=True)
        ]
    return [] if written == served else [f"{path}: {written!r} became {served!r}"]
