"""Posteriors for groups and records that an archive does not have."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.impute import (
    RecordSpace,
    hamming_distance,
    impute_posteriors,
    nearest_group,
    record_space,
)
from cascade_operator.archive.model import SplitRow
from fakes.archives import NODES, make_group, make_matrices, make_run, make_split

A, B, C = NODES
RUN = make_run(["00", "10", "00_10"])
KNOWN = tuple(row for row in RUN.split if row.split == "validation")


def fresh(record_id, content=None):
    return SplitRow(
        record_id, hashlib.sha256((content or record_id).encode()).hexdigest(), "validation"
    )


def space(recipe="m", **vectors):
    return RecordSpace(recipe, tuple(vectors), np.array(list(vectors.values()), np.float32))


OLD_SPACE = space(r0=[1, 0], r1=[0, 1], r2=[-1, 0], r3=[9, 9])


def test_a_group_and_records_that_are_there_are_carried_over_in_the_new_order():
    imputed = impute_posteriors({"00": [A]}, KNOWN[::-1], RUN)
    np.testing.assert_array_equal(imputed.posteriors["00"], RUN.groups["00"].posterior[::-1])
    assert imputed.notes == ()


def test_a_group_whose_positions_moved_is_found_by_its_names():
    imputed = impute_posteriors({"10_20": [A, B]}, KNOWN, RUN)
    np.testing.assert_array_equal(imputed.posteriors["10_20"], RUN.groups["00_10"].posterior)
    assert imputed.notes == ()


NEAREST = {
    "one more node": ([A, B, C], "00_10"),
    "another node beside": ([A, C], "00"),
    "nothing in common: the smaller, then by name": ([C], "00"),
    "the same": ([B], "10"),
}


@pytest.mark.parametrize(("nodes", "key"), NEAREST.values(), ids=NEAREST.keys())
def test_the_nearest_group_is_chosen_by_node_names(nodes, key):
    found = nearest_group(nodes, RUN.groups.values())
    assert found is not None
    assert found.key == key
    backwards = nearest_group(nodes, reversed(RUN.groups.values()))
    assert backwards is found


@given(left=st.sets(st.sampled_from("abcdef")), right=st.sets(st.sampled_from("abcdef")))
def test_the_distance_counts_differing_places_of_the_indicator_vectors(left, right):
    vectors = [[name in group for name in "abcdef"] for group in (left, right)]
    expected = sum(x != y for x, y in zip(*vectors, strict=True))
    assert hamming_distance(sorted(left), sorted(right)) == expected


def test_an_imputed_group_is_named_with_its_source():
    imputed = impute_posteriors({"00_10_20": [A, B, C], "20": [C]}, KNOWN, RUN)
    assert imputed.notes == (
        "group 00_10_20: takes the posterior of archived group 00_10 (they differ in 1 node)",
        "group 20: takes the posterior of archived group 00 (they differ in 2 nodes)",
    )


def test_without_archived_groups_all_start_uniform():
    imputed = impute_posteriors({"00": [A]}, KNOWN, make_run([]))
    np.testing.assert_array_equal(imputed.posteriors["00"], np.ones((3, 2)))
    assert imputed.notes == ("group 00: no archived group, starts uniform",)


def test_a_new_record_takes_its_nearest_archived_validation_record():
    records = [KNOWN[1], fresh("new"), fresh("far")]
    # r3 would be nearest to "far", but it was a training record: it has no counts.
    now = space(r1=[0, 1], new=[-3, 0.1], far=[5, 4])
    imputed = impute_posteriors({"00": [A]}, records, RUN, space=now, archived_space=OLD_SPACE)
    old = RUN.groups["00"].posterior
    np.testing.assert_array_equal(imputed.posteriors["00"], old[[1, 2, 0]])
    assert imputed.notes == (
        "2 of 3 validation records are not in the archive: 2 take the counts of their nearest"
        " neighbour, 0 start uniform",
    )


UNIFORM = {
    "no embeddings now": (None, OLD_SPACE, "no embeddings to compare"),
    "no embeddings then": (space(new=[1, 0]), None, "no embeddings to compare"),
    "another recipe": (space("n", new=[1, 0]), OLD_SPACE, "embedded by n, the archive by m"),
    "other dimensions": (space(new=[1, 0, 0]), OLD_SPACE, "embedded by m, the archive by m"),
}


@pytest.mark.parametrize(("now", "then", "reason"), UNIFORM.values(), ids=UNIFORM.keys())
def test_without_comparable_vectors_a_new_record_starts_uniform(now, then, reason):
    records = [KNOWN[0], fresh("new")]
    imputed = impute_posteriors({"00": [A]}, records, RUN, space=now, archived_space=then)
    np.testing.assert_array_equal(
        imputed.posteriors["00"], [RUN.groups["00"].posterior[0], [1.0, 1.0]]
    )
    assert imputed.notes == (
        "1 of 2 validation records are not in the archive: 0 take the counts of their nearest"
        f" neighbour, 1 start uniform ({reason})",
    )


def test_a_record_without_a_vector_starts_uniform():
    imputed = impute_posteriors(
        {"00": [A]}, [fresh("new")], RUN, space=space(other=[1, 0]), archived_space=OLD_SPACE
    )
    np.testing.assert_array_equal(imputed.posteriors["00"], [[1.0, 1.0]])


def test_an_id_whose_content_changed_is_another_record():
    changed = fresh("r0", content="rewritten")
    imputed = impute_posteriors({"00": [A]}, [changed], RUN)
    np.testing.assert_array_equal(imputed.posteriors["00"], [[1.0, 1.0]])


def test_a_renamed_record_is_known_by_its_content():
    renamed = replace(KNOWN[2], record_id="another")
    imputed = impute_posteriors({"00": [A]}, [renamed], RUN)
    np.testing.assert_array_equal(imputed.posteriors["00"], RUN.groups["00"].posterior[[2]])


def test_equally_near_records_are_chosen_by_id_whatever_the_order():
    now = space(new=[1, 1])
    tied = impute_posteriors({"00": [A]}, [fresh("new")], RUN, space=now, archived_space=OLD_SPACE)
    np.testing.assert_array_equal(tied.posteriors["00"], RUN.groups["00"].posterior[[0]])
    order = [1, 0, 2, 3, 4, 5]
    turned = make_run(
        ["00"],
        split=tuple(RUN.split[i] for i in order),
        groups={"00": make_group("00", posterior=RUN.groups["00"].posterior[order[:3]])},
    )
    again = impute_posteriors(
        {"00": [A]},
        [fresh("new")],
        turned,
        space=now,
        archived_space=space(r2=[-1, 0], r1=[0, 1], r0=[1, 0]),
    )
    np.testing.assert_array_equal(again.posteriors["00"], tied.posteriors["00"])


def test_more_records_than_one_step_takes_are_all_found():
    ids = [f"n{i}" for i in range(2500)]
    vectors = {name: [1, 0] if i % 2 else [0, 1] for i, name in enumerate(ids)}
    imputed = impute_posteriors(
        {"00": [A]},
        [fresh(name) for name in ids],
        RUN,
        space=space(**vectors),
        archived_space=OLD_SPACE,
    )
    old = RUN.groups["00"].posterior
    np.testing.assert_array_equal(imputed.posteriors["00"], old[[1, 0] * 1250])


def test_a_posterior_that_does_not_fit_its_split_is_refused():
    wrong = make_run(groups={"00": make_group("00", validation=7)})
    with pytest.raises(ArchiveError, match="posterior of 00 does not fit"):
        impute_posteriors({"00": [A]}, KNOWN, wrong)


def test_an_archive_says_where_its_records_lie():
    matrices = make_matrices(["a", "b"])
    run = make_run(["00"], io_matrices={A: matrices}, split=make_split())
    found = record_space(run, A)
    assert found is not None
    assert (found.recipe, found.record_ids) == (run.recipe, ("a", "b"))
    np.testing.assert_array_equal(found.vectors, matrices.in_raw)
    assert record_space(run, B) is None
    assert record_space(replace(run, recipe=""), A) is None
