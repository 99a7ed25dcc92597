"""A warm start onto other traces and other nodes: laws that hold for any overlap of the two."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_operator.archive.impute import RecordSpace, impute_posteriors
from cascade_operator.archive.model import SplitRow
from cascade_operator.training.posterior import restored
from fakes.archives import NODES, make_group, make_run

NAMES = [f"r{n}" for n in range(8)]
KEYS = {"00": NODES[:1], "10": NODES[1:2], "20": NODES[2:], "00_10": NODES[:2], "00_20": NODES[::2]}
records = st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True)
keys = st.lists(st.sampled_from(sorted(KEYS)), max_size=5, unique=True)


def row(name, split="validation"):
    return SplitRow(name, hashlib.sha256(name.encode()).hexdigest(), split)


def space(names, recipe):
    found = [np.random.default_rng(NAMES.index(name)).normal(size=4) for name in names]
    return RecordSpace(recipe, tuple(names), np.array(found).reshape(len(names), 4))


@st.composite
def overlaps(draw):
    """An archived run and what is wanted of it today."""
    old, new = draw(records), draw(records)
    validating = draw(st.integers(0, len(old)))
    split = tuple(
        row(name, "validation" if place < validating else "training")
        for place, name in enumerate(old)
    )
    counts = np.random.default_rng(draw(st.integers(0, 9)))
    groups = {
        key: make_group(
            key, nodes=KEYS[key], posterior=counts.uniform(1.0, 9.0, (validating, 2)).round(3)
        )
        for key in draw(keys)
    }
    run = make_run([], split=split, groups=groups)
    wanted = {key: KEYS[key] for key in draw(keys)}
    recipes = draw(st.sampled_from([("m", "m"), ("m", "other"), (None, "m"), ("m", None)]))
    now, then = (
        space(draw(st.permutations(names)), recipe) if recipe else None
        for names, recipe in ((new, recipes[0]), (old, recipes[1]))
    )
    return run, wanted, [row(name) for name in new], now, then


@settings(max_examples=150, deadline=None)
@given(overlaps())
def test_every_record_of_every_group_has_a_posterior_and_the_notes_say_whose(case):
    run, wanted, rows, now, then = case
    found = impute_posteriors(wanted, rows, run, space=now, archived_space=then)
    assert list(found.posteriors) == list(wanted)
    for table in found.posteriors.values():
        assert table.shape == (len(rows), 2)
        assert np.isfinite(table).all()
        assert (table >= 1.0).all()
    validating = [one for one in run.split if one.split == "validation"]
    known = {one.content_hash for one in validating}
    new = [one for one in rows if one.content_hash not in known]
    for key, nodes in wanted.items():
        exact = any(set(group.nodes) == set(nodes) for group in run.groups.values())
        named = [note for note in found.notes if note.startswith(f"group {key}:")]
        assert len(named) == (0 if exact else 1)
    said = [note for note in found.notes if "validation records are not in the archive" in note]
    assert len(said) == bool(new)
    if new:
        assert said[0].startswith(f"{len(new)} of {len(rows)} ")
        comparable = now is not None and then is not None and now.recipe == then.recipe
        if not comparable or not validating:
            assert f"0 take the counts of their nearest neighbour, {len(new)} start" in said[0]
        else:
            assert f"{len(new)} take the counts of their nearest neighbour, 0 start" in said[0]


@settings(max_examples=100, deadline=None)
@given(overlaps())
def test_known_records_keep_their_own_counts(case):
    run, wanted, rows, now, then = case
    found = impute_posteriors(wanted, rows, run, space=now, archived_space=then)
    place = {name: number for number, name in enumerate(run.validation_ids)}
    by_nodes = {group.nodes: group for group in run.groups.values()}
    for key, nodes in wanted.items():
        for number, one in enumerate(rows):
            if one.record_id in place and nodes in by_nodes:
                expected = by_nodes[nodes].posterior[place[one.record_id]]
                assert (found.posteriors[key][number] == expected).all()


@settings(max_examples=100, deadline=None)
@given(overlaps(), st.integers(0, 2**32))
def test_no_order_of_records_or_groups_matters(case, seed):
    run, wanted, rows, now, then = case
    plain = impute_posteriors(wanted, rows, run, space=now, archived_space=then)
    assert impute_posteriors(wanted, rows, run, space=now, archived_space=then).notes == plain.notes
    random = Random(seed)
    # The archive in another order: its rows and, with them, the rows of its posteriors.
    order = list(range(len(run.split)))
    random.shuffle(order)
    split = tuple(run.split[place] for place in order)
    names = [one.record_id for one in run.split if one.split == "validation"]
    moved = [names.index(one.record_id) for one in split if one.split == "validation"]
    groups = [
        (key, replace(group, posterior=group.posterior[moved])) for key, group in run.groups.items()
    ]
    random.shuffle(groups)
    wanted_order = list(range(len(rows)))
    random.shuffle(wanted_order)
    other = impute_posteriors(
        wanted,
        [rows[place] for place in wanted_order],
        replace(run, split=split, groups=dict(groups)),
        space=now,
        archived_space=then,
    )
    assert other.notes == plain.notes
    for key, table in plain.posteriors.items():
        np.testing.assert_array_equal(other.posteriors[key], table[wanted_order])


@settings(max_examples=50, deadline=None)
@given(overlaps())
def test_a_prior_made_of_it_is_a_distribution(case):
    run, wanted, rows, now, then = case
    ids = [one.record_id for one in rows]
    for table in impute_posteriors(
        wanted, rows, run, space=now, archived_space=then
    ).posteriors.values():
        counts = {
            name: (a - 1.0, b - 1.0) for name, (a, b) in zip(ids, table.tolist(), strict=True)
        }
        prior = restored(counts, ids)
        assert ((prior.mean > 0) & (prior.mean < 1)).all()
        assert (prior.losses + prior.gains <= 8.0 + 1e-9).all()
