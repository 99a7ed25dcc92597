"""What docs/gitops.md says about sessions, Jobs and the hash, held against the code."""

import re

import pytest
import yaml

from cascade_operator.api.base import KIND
from cascade_operator.api.session import TrainingSession
from cascade_operator.api.spec_hash import SECTIONS, spec_hash
from cascade_operator.api.status import ConditionType
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.cluster import FakeCluster, spec_of
from fakes.documents import DOCS, yaml_snippets
from fakes.run_steps import end_all, finished, prepared, settle

PAGE = (DOCS / "gitops.md").read_text(encoding="utf-8")
SESSIONS = [one for one in yaml_snippets("gitops.md") if one["kind"] == KIND]
SCHEDULED, ANNOTATED = SESSIONS
FOREIGN = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "app.kubernetes.io/instance")


@pytest.mark.parametrize("raw", SESSIONS, ids=["by schedule", "by annotation"])
def test_the_page_s_sessions_are_valid(raw):
    TrainingSession.model_validate(raw)


def test_every_session_that_the_page_s_kustomizations_name_is_on_the_page():
    named = [
        check
        for one in yaml_snippets("gitops.md")
        if one["kind"] == "Kustomization"
        for check in one["spec"].get("healthChecks", ())
    ]
    assert [(c["kind"], c["namespace"], c["name"]) for c in named] == [(KIND, "team", "triage")]
    assert {(s["metadata"]["namespace"], s["metadata"]["name"]) for s in SESSIONS} == {
        ("team", "triage")
    }


def test_the_page_names_what_the_hash_covers():
    sentence = re.search(r"as far as it differs from\nthe defaults: (.*?)\.", PAGE, re.DOTALL)
    assert sentence is not None
    named = re.findall(r"`(\w+)`", sentence.group(1))
    fields = TrainingSession.model_fields["spec"].annotation.model_fields
    assert named == [fields[name].alias for name in SECTIONS]


def test_what_the_page_says_trains_nothing_leaves_the_hash_alone():
    sentence = re.search(r"A commit that changes (.*?) trains nothing", PAGE, re.DOTALL)
    assert sentence is not None
    named = re.findall(r"`(\w+)`", sentence.group(1))
    assert len(named) == 7
    fields = TrainingSession.model_fields["spec"].annotation.model_fields
    aliases = {field.alias: name for name, field in fields.items()}
    assert not {aliases[name] for name in named} & set(SECTIONS)


def test_a_schedule_is_no_reason_to_train_at_once():
    cluster = finished()
    spec = TrainingSession.model_validate(SCHEDULED).spec
    changes = {name: getattr(spec, name) for name in ("schedule", "time_zone")}
    cluster.spec = spec_of(**changes)
    cluster.generation = 2
    assert spec_hash(cluster.spec) == spec_hash(spec_of())
    settle(cluster)
    assert cluster.status.run.number == 1
    assert cluster.status.next_schedule_time is not None


def test_the_page_s_annotation_starts_a_run_and_taking_it_away_none():
    cluster = finished()
    cluster.annotations.update(ANNOTATED["metadata"]["annotations"])
    assert RETRAIN_ANNOTATION in cluster.annotations
    settle(cluster)
    assert (cluster.status.run.number, cluster.status.run.trigger) == (2, "Retrain")
    cluster.annotations.clear()
    settle(cluster)
    assert cluster.status.run.number == 2
    cluster.annotations[RETRAIN_ANNOTATION] = "an older value"
    settle(cluster)
    assert cluster.status.run.number == 3, "the page warns of this"


def test_children_carry_nothing_by_which_a_tool_would_take_them_for_its_own():
    marks = {f"{prefix}x" if prefix.endswith("/") else prefix: "app" for prefix in FOREIGN}
    cluster = FakeCluster(annotations=marks)
    settle(cluster)
    end_all(cluster)
    children = [*cluster.manifests.values(), *cluster.config_maps.values()]
    assert len(children) >= 3
    assert not [mark for mark in FOREIGN if mark in yaml.safe_dump(children)]
    for child in children:
        (owner,) = child["metadata"]["ownerReferences"]
        assert owner["kind"] == KIND


def test_the_page_s_conditions_exist():
    quoted = set(re.findall(r'c\.type == "(\w+)"', PAGE)) | set(re.findall(r'holds\("(\w+)"', PAGE))
    assert quoted <= set(ConditionType)
    assert quoted == {"Reconciling", "Stalled", "Ready", "Complete", "Failed", "Suspended"}


def test_a_run_that_is_replaced_leaves_ready_unset_until_it_trains_again():
    cluster = prepared()
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    ready = next(c for c in cluster.status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "Preparing")
