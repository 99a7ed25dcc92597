import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import SpecError
from cascade_operator.api.validate import load_session, validate_session


def _session(**spec):
    return {
        "apiVersion": "cascade-operator.dev/v1alpha1",
        "kind": "TrainingSession",
        "metadata": {"name": "triage"},
        "spec": {"traces": {"import": "bfcl"}, **spec},
    }


def _tiers(*tiers):
    return {
        "tiers": [
            {
                "name": f"t{at}",
                "code": at,
                "nodes": [{"name": name, "signature": text} for name, text in tier.items()],
            }
            for at, tier in enumerate(tiers)
        ]
    }


def _only(obj):
    problems = validate_session(obj)
    assert len(problems) == 1, [str(one) for one in problems]
    return problems[0]


def test_the_least_session_is_valid():
    assert validate_session(_session()) == []
    assert load_session(yaml.safe_dump(_session())).spec.parallelism == 15


@pytest.mark.parametrize(
    ("spec", "path", "value", "message", "mend"),
    [
        pytest.param(
            {"optimizer": {"trails": 3}},
            "spec.optimizer.trails", "3", "not a field", "did you mean 'trials'?",
            id="unknown field",
        ),
        pytest.param(
            {"optimizer": {"trials": "3"}},
            "spec.optimizer.trials", '"3"', "a whole number", "without quotes",
            id="number as text",
        ),
        pytest.param(
            {"optimizer": {"trials": 3.0}},
            "spec.optimizer.trials", "3.0", "a whole number", "", id="fraction",
        ),
        pytest.param(
            {"optimizer": {"trials": True}},
            "spec.optimizer.trials", "true", "a whole number", "", id="bool as number",
        ),
        pytest.param(
            {"suspend": "yes"}, "spec.suspend", '"yes"', "true or false", "without quotes",
            id="text as bool",
        ),
        pytest.param(
            {"optimizer": {"trials": 0}},
            "spec.optimizer.trials", "0", "at least 1", "", id="below its bound",
        ),
        pytest.param(
            {"memory": {"escalationFactor": 1}},
            "spec.memory.escalationFactor", "1", "more than 1", "", id="at an exclusive bound",
        ),
        pytest.param(
            {"objective": {"metric": "cosine"}},
            "spec.objective.metric", '"cosine"', "one of Cosine", "did you mean 'Cosine'?",
            id="misspelt choice",
        ),
        pytest.param(
            {"image": 5}, "spec.image", "5", "a string", "in quotes", id="number for text"
        ),
        pytest.param(
            {"groups": {"sizes": 1}}, "spec.groups.sizes", "1", "a list", "", id="no list"
        ),
        pytest.param({"memory": 5}, "spec.memory", "5", "named fields", "", id="no object"),
        pytest.param(
            {"memory": {"budget": "2 GB"}},
            "spec.memory.budget", '"2 GB"', "a quantity", "", id="quantity",
        ),
        pytest.param(
            {"memory": {"budget": "0Gi"}},
            "spec.memory.budget", '"0Gi"', "more than 0", "", id="no memory at all",
        ),
        pytest.param(
            {"budget": {"maxDuration": "3 days"}},
            "spec.budget.maxDuration", '"3 days"', "a duration", "", id="duration",
        ),
        pytest.param(
            {"archive": {"interval": "0s"}},
            "spec.archive.interval", '"0s"', "longer than 0s", "", id="no duration at all",
        ),
        pytest.param(
            {"schedule": "61 * * * *"},
            "spec.schedule", '"61 * * * *"', "minute field", "", id="cron",
        ),
        pytest.param(
            {"timeZone": "Central Europe"},
            "spec.timeZone", '"Central Europe"', "a time zone", "", id="time zone",
        ),
        pytest.param(
            {"models": {"task": {"endpoint": "http://me:secret@host"}}},
            "spec.models.task.endpoint", "secret", "without user or password", "",
            id="password in an address",
        ),
        pytest.param(
            {"archive": {"persistentVolumeClaim": {"subPath": "../etc"}}},
            "spec.archive.persistentVolumeClaim.subPath", '"../etc"', "without '..'", "",
            id="path that climbs",
        ),
        pytest.param(
            {"cascade": _tiers({"a": "x -> y: lst[str]"})},
            "spec.cascade.tiers[0].nodes[0].signature", "lst", "'lst' is none at position 9", "",
            id="signature",
        ),
        pytest.param(
            {"objective": {"metric": "Custom"}},
            "spec.objective.function", "", "required where metric is Custom", "package:attribute",
            id="custom metric without function",
        ),
        pytest.param(
            {"memory": {"maxPerJob": "4Gi", "budget": "3Gi"}},
            "spec.memory.maxPerJob", '"4Gi"', "more than spec.memory.budget", "raise",
            id="job over budget",
        ),
        pytest.param(
            {"resources": {"group": {"limits": {"memory": "4Gi"}}}, "memory": {"maxPerJob": "3Gi"}},
            "spec.resources.group.limits.memory", '"4Gi"', "more than spec.memory.maxPerJob", "",
            id="limit over its maximum",
        ),
        pytest.param(
            {"resources": {"group": {"requests": {"memory": "2Gi"}}}},
            "spec.resources.group.requests.memory", '"2Gi"', "more than the limit, 1Gi", "",
            id="request over the limit",
        ),
        pytest.param(
            {"models": {"reduction": {"dimensions": 300}}},
            "spec.models.reduction.dimensions", "300", "embedding's dimensions, 256", "",
            id="reduction to more dimensions",
        ),
        pytest.param(
            {"traces": {}}, "spec.traces", "", "names none, but exactly one", "import: bfcl",
            id="no traces",
        ),
        pytest.param(
            {"traces": {"import": "bfcl", "file": "t.jsonl"}},
            "spec.traces", "", "names import and file", "keep one", id="two sources of traces",
        ),
        pytest.param(
            {"traces": {"import": "bfcl", "validationFraction": 0.6, "heldOutFraction": 0.4}},
            "spec.traces.validationFraction", "0.6", "less than 1", "", id="nothing left to train",
        ),
        pytest.param(
            {"groups": {"include": [["agent-00-autogen-bmd"]]}},
            "spec.groups.include[0][0]", "bmd", "not a node",
            "did you mean 'agent-00-autogen-bmad'?", id="unknown node in a group",
        ),
        pytest.param(
            {"groups": {"sizes": [6]}}, "spec.groups", "", "leave no group", "leave spec.groups",
            id="no group left",
        ),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named(spec, path, value, message, mend):
    found = _only(_session(**spec))
    assert found.path == path
    assert value in found.value
    assert message in found.message
    assert mend in found.mend


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        pytest.param(
            [{"a": "x -> y"}, {"b": "y, q -> z"}],
            "b reads the field 'q', which no earlier node writes", id="nobody writes it",
        ),
        pytest.param(
            [{"a": "x -> y"}, {"b": "z -> w"}, {"c": "y -> z"}],
            "only the later node c writes", id="written too late",
        ),
        pytest.param(
            [{"a": "x -> y", "b": "y -> z"}], "nodes of one tier cannot read each other",
            id="read within a tier",
        ),
        pytest.param(
            [{"a": "y, s -> x", "b": "x -> y"}],
            "a reads y written by b, b reads x written by a", id="circle within a tier",
        ),
        pytest.param(
            [{"a": "y, s -> x"}, {"b": "x -> y"}],
            "a reads y written by b, b reads x written by a", id="circle over tiers",
        ),
        pytest.param(
            [{"a": "x -> y"}, {"b": "x -> y"}], "'y' is written by a and by b", id="written twice"
        ),
    ],
)  # fmt: skip
def test_fields_that_do_not_flow_are_named(tiers, message):
    assert message in _only(_session(cascade=_tiers(*tiers))).message


def test_what_the_first_tier_reads_is_given_to_all():
    tiers = [{"a": "x, y -> z"}, {"b": "x, z -> w"}, {"c": "y, w -> v"}]
    assert validate_session(_session(cascade=_tiers(*tiers))) == []


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        pytest.param([{"a": "x -> y"}, {"a": "y -> z"}], "'a' stands 2 times", id="name twice"),
        pytest.param([{"own": ""}], "needs a signature", id="no signature"),
        pytest.param(
            [{f"n{t}{i}": f"x -> y{t}{i}" for i in range(4)} for t in range(2)],
            "8 nodes in all", id="too many nodes",
        ),
    ],
)  # fmt: skip
def test_the_cascade_itself_is_checked(tiers, message):
    assert message in _only(_session(cascade=_tiers(*tiers))).message


def test_tier_codes_ascend():
    cascade = _tiers({"a": "x -> y"}, {"b": "y -> z"})
    cascade["tiers"][0]["code"] = 5
    found = _only(_session(cascade=cascade))
    assert (found.path, found.value) == ("spec.cascade.tiers[1].code", "1")


def test_only_a_default_agent_needs_no_signature():
    assert validate_session(_session(cascade=_tiers({"agent-00-autogen-bmad": ""}))) == []


def test_every_problem_is_listed_and_the_first_stands_in_the_error():
    wrong = _session(suspend="no", optimizer={"trails": 1})
    with pytest.raises(SpecError) as caught:
        load_session(yaml.safe_dump(wrong))
    assert {one.path for one in caught.value.problems} == {"spec.suspend", "spec.optimizer.trails"}
    assert "and 1 more problem" in str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize("name", ["apiVersion", "kind"])
def test_a_manifest_says_what_it_is(name):
    obj = _session()
    del obj[name]
    found = _only(obj)
    assert (found.path, found.message) == (name, "is required")


def test_integers_serve_as_numbers_and_null_as_absent():
    spec = {"budget": {"maxCost": 5}, "models": None, "schedule": None}
    assert validate_session(_session(**spec)) == []


def test_processors_may_be_a_number_as_in_a_pod():
    obj = _session(resources={"group": {"limits": {"cpu": 2}}})
    assert load_session(yaml.safe_dump(obj)).spec.resources.group.limits.cpu == "2"


def test_status_is_no_reason_to_refuse_a_spec():
    assert validate_session(_session() | {"status": {"phase": "Nonsense"}}) == []


def test_other_documents_are_passed_over():
    text = "kind: Secret\n---\n" + yaml.safe_dump(_session()) + "---\n"
    assert load_session(text).metadata.name == "triage"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [", "not valid YAML", id="no yaml"),
        pytest.param(b"\xff\xfe\x00", "not valid YAML", id="no text"),
        pytest.param("", "no TrainingSession", id="empty"),
        pytest.param("- 1", "no TrainingSession", id="list"),
        pytest.param(f"{yaml.safe_dump(_session())}---\n{yaml.safe_dump(_session())}",
                     "2 TrainingSessions", id="two"),
        pytest.param("kind: TrainingSession\nkind: Pod", "'kind' stands twice", id="key twice"),
        pytest.param("!!python/object/apply:os.system ['true']", "not valid YAML", id="tag"),
        pytest.param("!!int ''", "not valid YAML", id="empty number"),
        pytest.param("a: !!timestamp x", "not valid YAML", id="no time"),
        pytest.param("&a [*a]", "nested too deep", id="holds itself"),
        pytest.param("[" * 3000, "nested too deep", id="brackets"),
        pytest.param("#" * (2**20 + 1), "larger than 1 MiB", id="large"),
        pytest.param("kind: Pod", "must be TrainingSession", id="another kind"),
    ],
)  # fmt: skip
def test_hostile_texts_end_as_spec_errors(text, message):
    with pytest.raises(SpecError) as caught:
        load_session(text)
    known = [str(caught.value), *map(str, getattr(caught.value, "problems", ()))]
    assert any(message in one for one in known), known


def test_aliases_that_multiply_are_stopped():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SpecError, match="too many values"):
        load_session("\n".join(lines))


_KEYS = st.sampled_from(
    ["spec", "kind", "metadata", "traces", "cascade", "tiers", "nodes", "name", "signature",
     "models", "groups", "include", "memory", "budget", "import", "status", "jobTemplate"]
) | st.text(max_size=5)  # fmt: skip
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary()
)
GARBAGE = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_KEYS, inner, max_size=4)
        | st.dictionaries(st.integers() | st.none(), inner, max_size=2)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(GARBAGE)
def test_any_object_is_judged(obj):
    assert validate_session(obj), "garbage is no session"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_KEYS, GARBAGE, max_size=4))
def test_any_spec_is_judged(spec):
    for problem in validate_session(_session(**spec)):
        assert problem.message


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_ends_as_a_spec_error(text):
    with pytest.raises(SpecError):
        load_session(text)
