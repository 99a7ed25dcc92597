"""Health over a session's whole life, by real kstatus, by Flux's CEL, by Argo CD's Lua."""

import copy

import pytest
from lupa import lua51

from fakes.argo_lua import argo_health
from fakes.documents import DOCS, snippet
from fakes.kstatus import compute
from fakes.session_states import STATES

# A first build of the Go program takes minutes; all later ones find it.
pytestmark = pytest.mark.timeout(900)
LUA = (DOCS / "argocd-health.lua").read_text(encoding="utf-8")
LUA_KEY = "resource.customizations.health.cascade-operator.dev_TrainingSession"
EXPRESSIONS = ("training-named", "training-result")


@pytest.fixture(scope="module")
def raws():
    return {name: state.raw() for name, state in STATES.items()}


def expressions_of(kustomization):
    found = snippet("gitops.md", "Kustomization", kustomization)["spec"]["healthCheckExprs"]
    (check,) = found
    assert check.pop("apiVersion") == "cascade-operator.dev/v1alpha1"
    assert check.pop("kind") == "TrainingSession"
    return check


def test_the_states_cover_every_phase_and_every_row(raws):
    phases = {raw["status"].get("phase") for raw in raws.values()}
    assert phases == {
        *("Pending", "Preparing", "Training", "Archiving", "Complete", "Failed", "Suspended")
    }
    reasons = {
        condition["reason"]
        for raw in raws.values()
        for condition in raw["status"].get("conditions", ())
        if condition["type"] == "Ready"
    }
    assert reasons == {
        *("Preparing", "Retrying", "Training", "Archiving", "Queued", "Complete", "Suspended"),
        *("VolumeUnavailable", "InvalidSpec", "PrepareFailed", "GroupsFailed", "ArchiveFailed"),
    }


@pytest.mark.process
def test_kstatus_over_a_session_s_life(kstatus, raws):
    found = compute(kstatus, raws.values())
    assert {name: one.status for name, one in zip(raws, found, strict=True)} == {
        name: state.kstatus for name, state in STATES.items()
    }
    words = dict(zip(raws, found, strict=True))
    assert "persistentvolumeclaim" in words["blocked"].message
    assert "persistentvolumeclaim" in words["blocked too long"].message


@pytest.mark.process
@pytest.mark.parametrize(
    ("kustomization", "expected"),
    [
        pytest.param("training-named", "kstatus", id="go on once it trains"),
        pytest.param("training-result", "completion", id="wait for the result"),
    ],
)
def test_flux_s_expressions_over_a_session_s_life(kstatus, raws, kustomization, expected):
    # No expression sees a deletion: what is being deleted was asked before, by kstatus alone.
    living = {name: raw for name, raw in raws.items() if name != "deleted"}
    found = compute(kstatus, living.values(), expressions_of(kustomization))
    assert [one.error for one in found] == [""] * len(living)
    assert {name: one.flux for name, one in zip(living, found, strict=True)} == {
        name: getattr(STATES[name], expected) for name in living
    }


@pytest.mark.process
def test_an_expression_that_is_no_cel_is_an_error_and_no_state(kstatus, raws):
    (found,) = compute(kstatus, [raws["finished"]], {"current": "status.phase ="})
    assert "failed to parse" in found.error
    assert found.flux == ""


@pytest.mark.parametrize("name", STATES)
def test_argo_cd_s_health_over_a_session_s_life(raws, name):
    status, message = argo_health(LUA, raws[name])
    assert status == STATES[name].argo
    assert message or status == "Healthy", "whoever waits, or must act, is told why"


def test_argo_cd_shows_the_condition_s_message(raws):
    _, message = argo_health(LUA, raws["blocked too long"])
    assert "persistentvolumeclaim" in message
    _, message = argo_health(LUA, raws["complete with failures"])
    assert "00 (InvalidData)" in message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw.pop("status"), id="no status"),
        pytest.param(lambda raw: raw.update(status={}), id="an empty status"),
        pytest.param(
            lambda raw: raw["status"].update(conditions=[]), id="no condition of this generation"
        ),
        pytest.param(lambda raw: raw["status"].pop("conditions"), id="no conditions at all"),
    ],
)
def test_argo_cd_waits_where_little_is_known(raws, change):
    raw = copy.deepcopy(raws["finished"])
    change(raw)
    assert argo_health(LUA, raw)[0] == "Progressing"


def test_the_page_s_config_map_is_the_check_itself():
    data = snippet("gitops.md", "ConfigMap", "argocd-cm")["data"]
    assert data[LUA_KEY] == LUA


def test_no_session_is_in_progress_and_stalled_at_once(raws):
    both = {"Reconciling", "Stalled"}
    for name, raw in raws.items():
        types = {condition["type"] for condition in raw["status"].get("conditions", ())}
        assert not both <= types, name


def test_the_check_gets_no_more_of_lua_than_argo_cd_opens():
    script = 'return { status = "Healthy", message = type(string) .. type(io) .. type(math) }'
    assert argo_health(script, {})[1] == "nilnilnil"
    with pytest.raises(lua51.LuaError, match="attempt to index"):
        argo_health('return { status = ("Healthy"):upper() }', {})
