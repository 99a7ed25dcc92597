import json
from collections import Counter

import pytest

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import DataError
from cascade_operator.traces import bfcl
from cascade_operator.traces.bfcl import import_bfcl
from cascade_operator.traces.bfcl_source import read_tasks
from cascade_operator.traces.reader import read_traces
from cascade_operator.traces.record import NodeFields
from cascade_operator.traces.validated import closest, leaves

NODES = {
    bfcl.BMAD: NodeFields(("request", "functions"), ("brief",)),
    bfcl.BAML: NodeFields(("request", "functions", "brief"), ("requirement",)),
    bfcl.SPECKIT: NodeFields(("request", "requirement"), ("specification",)),
    bfcl.EXECUTION: NodeFields(("requirement", "specification"), ("call",)),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    path = tmp_path_factory.mktemp("bfcl") / "traces" / "85_latest.parquet"
    report = import_bfcl(path, seed=42)
    return report, read_traces(path, nodes=NODES, max_invalid_percent=0)


def by_id(imported, name):
    return next(r for r in imported[1].records if r.record_id == name)


def test_the_whole_data_set_is_imported(imported):
    report, traces = imported
    assert (report.records, report.available) == (258, 258)
    assert (report.with_alternatives, report.with_optional) == (123, 115)
    assert len(traces.records) + traces.duplicates == 258
    assert traces.rejected == ()


def test_records_stand_in_the_data_sets_order(imported):
    numbers = [int(r.record_id.split("_")[2].split("-")[0]) for r in imported[1].records]
    assert numbers == sorted(numbers)


def test_every_recorded_call_is_accepted_by_its_validated_fields(imported):
    for record in imported[1].records:
        output = record.outputs[bfcl.EXECUTION]
        assert all(leaf.met_by(output) for leaf in leaves(record.validated)), record.record_id
        assert closest(record.validated, output) == output, record.record_id


def test_every_field_comes_from_the_data(imported):
    tasks = {task.name: task for task in read_tasks()}
    for record in imported[1].records:
        task = tasks[record.record_id]
        functions = record.inputs[bfcl.BMAD]["functions"]
        assert task.function in functions
        assert len({f["name"] for f in functions}) == 4
        assert record.inputs[bfcl.BMAD]["request"] == task.request
        assert task.function["description"] in record.outputs[bfcl.BMAD]["brief"]
        requirement = record.outputs[bfcl.BAML]["requirement"]
        declared = task.function["parameters"]["properties"]
        assert [p["name"] for p in requirement["parameters"]] == list(declared)
        arguments = record.outputs[bfcl.EXECUTION]["call"]["arguments"]
        specified = record.outputs[bfcl.SPECKIT]["specification"]["arguments"]
        assert {a["name"]: a["value"] for a in specified} == arguments
        assert set(arguments) == {k for k, v in task.allowed.items() if "" not in v}


def test_later_nodes_read_what_earlier_ones_wrote(imported):
    for record in imported[1].records:
        written = dict(record.inputs[bfcl.BMAD])
        for node in NODES:
            assert record.inputs[node].items() <= written.items()
            written |= record.outputs[node]


def test_the_right_function_stands_at_every_place(imported):
    places = Counter(
        [f["name"] for f in r.inputs[bfcl.BMAD]["functions"]].index(
            r.outputs[bfcl.EXECUTION]["call"]["name"]
        )
        for r in imported[1].records
    )
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 30


@pytest.mark.parametrize(
    ("name", "argument", "accepted"),
    [
        ("live_simple_0-0-0", "user_id", 7890),
        ("live_simple_4-3-0", "unit", {"anyOf": ["fahrenheit", ""], "optional": True}),
        ("live_simple_27-7-0", "quantities", [5, 6]),
        ("live_simple_48-21-0", "pairings", {"anyOf": [[]], "optional": True}),
        ("live_simple_70-34-0", "timespan", {"anyOf": [""], "optional": True}),
        ("live_simple_106-63-0", "bank_hours_start", []),
        ("live_simple_132-85-0", "params", {"anyOf": [{}], "optional": True}),
        ("live_simple_134-87-0", "params", {"limit": 20, "sort": "desc"}),
        (
            "live_simple_114-70-0",
            "profile_data",
            {
                "email": "john.doe@example.com",
                "age": 30,
                "bio": {"anyOf": [""], "optional": True},
            },
        ),
        (
            "live_simple_165-98-0",
            "data",
            [{"name": "李雷", "age": 18}, {"name": "李丽", "age": 21}],
        ),
        (
            "live_simple_253-135-0",
            "items",
            {
                "anyOf": [["burgers", "chicken wings"], ["burger", "chicken wing"]],
                "optional": False,
            },
        ),
    ],
)
def test_accepted_values(imported, name, argument, accepted):
    assert by_id(imported, name).validated["call"]["arguments"][argument] == accepted


def test_an_optional_value_inside_a_mapping(imported):
    record = by_id(imported, "live_simple_41-17-1")
    body = record.validated["call"]["arguments"]["body"]
    assert body["airConJobMode"] == "AIR_DRY"
    assert body["targetTemperature"] == {"anyOf": [22], "optional": True}
    assert record.outputs[bfcl.EXECUTION]["call"]["arguments"]["body"] == {
        "airConJobMode": "AIR_DRY"
    }


def test_requests_for_one_function_stay_in_one_split(imported):
    for record in imported[1].records:
        assert record.group_key == record.outputs[bfcl.EXECUTION]["call"]["name"]


def test_the_seed_decides_and_the_number_only_cuts(tmp_path):
    files = [tmp_path / name for name in ("a", "b", "c", "d")]
    for path, (seed, n) in zip(files, [(1, 12), (1, 12), (2, 12), (1, 20)], strict=True):
        assert import_bfcl(path, seed=seed, max_records=n).records == n
    assert files[0].read_bytes() == files[1].read_bytes()
    few, _, other, more = [read_traces(path, nodes=NODES).records for path in files]
    assert {r.record_id for r in few} != {r.record_id for r in other}
    assert {r.record_id: r for r in few}.items() <= {r.record_id: r for r in more}.items()
    assert not list(tmp_path.glob(".*"))


def test_short_records_have_short_distractors(tmp_path):
    path = tmp_path / "t.parquet"
    report = import_bfcl(path, max_records=30, max_prompt_chars=2000)
    assert report.records == 30
    for record in read_traces(path, nodes=NODES).records:
        fields = record.inputs[bfcl.BMAD]
        size = len(fields["request"]) + sum(
            len(canonical_json(document)) for document in fields["functions"]
        )
        assert size <= 2000
    with pytest.raises(DataError, match="none of 258 records"):
        import_bfcl(path, max_prompt_chars=100)


def test_data_that_is_missing_or_of_another_form(tmp_path):
    with pytest.raises(DataError, match="lacks BFCL") as caught:
        import_bfcl(tmp_path / "out", source=tmp_path)
    assert "bfcl-eval" in caught.value.mend
    (tmp_path / "possible_answer").mkdir()
    for folder in (tmp_path, tmp_path / "possible_answer"):
        (folder / "BFCL_v9_live_simple.json").write_text(json.dumps({"id": "x"}) + "\n")
    with pytest.raises(DataError, match="not in the form"):
        import_bfcl(tmp_path / "out", source=tmp_path)
    assert not (tmp_path / "out").exists()
