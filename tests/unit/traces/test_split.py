import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.api.errors import DataError
from cascade_operator.traces.record import Split
from cascade_operator.traces.split import split_records
from fakes.traces import record

NUMBERS = st.lists(st.integers(0, 500), min_size=3, max_size=40, unique=True)


def split(records, validation=0.4, held_out=0.2, salt="s"):
    return split_records(
        records, validation_fraction=validation, held_out_fraction=held_out, salt=salt
    )


@given(NUMBERS, st.floats(0.01, 0.49), st.floats(0.01, 0.49))
@settings(max_examples=40)
def test_every_record_has_one_split_and_no_split_is_empty(numbers, validation, held_out):
    records = [record(number) for number in numbers]
    found = split(records, validation, held_out)
    assert set(found) == {r.record_id for r in records}
    assert set(found.values()) == set(Split)


@given(st.integers(0, 300))
@settings(max_examples=20)
def test_records_that_are_added_move_nobody(more):
    # 60 records fill every split by themselves, so the rule for empty ones is out of play.
    before = split([record(number) for number in range(60)])
    after = split([record(number) for number in range(60 + more)])
    assert {name: after[name] for name in before} == before


@given(st.permutations(range(12)))
@settings(max_examples=20)
def test_the_order_of_the_file_does_not_matter(order):
    assert split([record(n) for n in order]) == split([record(n) for n in range(12)])


@given(st.lists(st.sampled_from(["a", "b", "c", "d", ""]), min_size=10, max_size=30))
@settings(max_examples=40)
def test_a_group_stays_together(keys):
    records = [record(n, group_key=key) for n, key in enumerate([*keys, "x", "y", "z"])]
    found = split(records)
    for key in set(keys) - {""}:
        assert len({found[r.record_id] for r in records if r.group_key == key}) == 1


def test_the_fractions_are_met_in_the_long_run():
    found = list(split([record(number) for number in range(1500)]).values())
    assert found.count(Split.VALIDATION) / 1500 == pytest.approx(0.4, abs=0.05)
    assert found.count(Split.HELD_OUT) / 1500 == pytest.approx(0.2, abs=0.05)


def test_another_salt_gives_another_split():
    records = [record(number) for number in range(30)]
    assert split(records, salt="a") != split(records, salt="b")


def test_the_same_content_under_another_name_has_the_same_split():
    names = [f"copy{n}" for n in range(20)]
    first = split([record(n) for n in range(20)])
    second = split([record(n, record_id=names[n]) for n in range(20)])
    assert list(first.values()) == list(second.values())


def test_a_fraction_of_zero_leaves_its_split_empty():
    found = split([record(n) for n in range(10)], held_out=0.0)
    assert set(found.values()) == {Split.TRAINING, Split.VALIDATION}


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([record(0), record(1)], id="two records"),
        pytest.param([record(n, group_key="one") for n in range(9)], id="one group"),
    ],
)
def test_too_few_name_the_minimum(records):
    with pytest.raises(DataError) as caught:
        split(records)
    assert "at least 3" in caught.value.mend


@pytest.mark.parametrize(("validation", "held_out"), [(0.5, 0.5), (-0.1, 0.2), (0.9, 0.3)])
def test_fractions_that_leave_no_training(validation, held_out):
    with pytest.raises(ValueError, match="nothing to train"):
        split([record(n) for n in range(5)], validation, held_out)
