"""Where a warm start comes from when some of the archives there are damaged, or lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.worker.restore import own_archive
from cascade_operator.worker.run_data import RunData
from cascade_operator.worker.warm_start import warm_start
from fakes.archives import compress, entries_of, small_members, tar_bytes, tar_entry
from fakes.small_runs import archived_run, pool_of, put_archive, store_records, with_result
from fakes.worker_jobs import SESSION_ID, job_context, run_config

OLD, NEW = "20250101T000000Z", "20250102T000000Z"


@pytest.fixture
def context_of(tmp_path, valkey_socket, redis_client):
    def context(**spec):
        made = job_context(tmp_path, valkey_socket, run_config(**spec))
        store_records(made)
        return made

    (tmp_path / "archives").mkdir()
    return context


@pytest.fixture
def root(tmp_path):
    return tmp_path / "archives"


def start(context):
    return warm_start(context, pool_of("two"), RunData(context.redis, context.keys))


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def cut_in_the_manifest(file):
    file.write_bytes(file.read_bytes()[:60])


def emptied(file):
    file.write_bytes(b"")


def garbage(file):
    file.write_bytes(bytes(range(256)) * 8)


def turned_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def of_another_run(file):
    other = file.read_bytes()
    for entry in file.parent.glob(f"{OLD}_size*"):
        if entry.name[-10:] == file.name[-10:]:
            other = entry.read_bytes()
    file.write_bytes(other)


def with_a_link(file):
    entries = [tar_entry("manifest.json", b"{}", type=b"2", linkname="/etc/passwd")]
    file.write_bytes(compress(tar_bytes(entries)))


def of_a_stranger(file):
    file.write_bytes(compress(tar_bytes(entries_of(small_members()))))


DAMAGE = [
    cut, cut_in_the_manifest, emptied, garbage, turned_bit, of_another_run, with_a_link,
    of_a_stranger,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_archive_is_named_and_left_out_and_the_one_before_is_used(
    context_of, root, decoder, caplog, damage
):
    put_archive(root, archived_run(OLD), decoder)
    for file in put_archive(root, archived_run(NEW), decoder):
        damage(file)
    started = start(context_of())
    assert started.source == OLD
    said = [note for note in started.notes if "left out" in note]
    assert said
    assert all(NEW in note for note in said)
    assert started.pool.counts == {"plan": 3, "act": 3}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_archive_that_the_session_names_ends_with_65(context_of, root, decoder, damage):
    put_archive(root, archived_run(OLD), decoder)
    for file in put_archive(root, archived_run(NEW), decoder):
        damage(file)
    with pytest.raises(DataError) as caught:
        start(context_of(warmStart={"archive": NEW}))
    assert f"spec.warmStart.archive '{NEW}'" in str(caught.value)
    assert caught.value.mend
    assert caught.value.exit_code == 65


def test_one_damaged_size_of_a_named_run_is_not_passed_over(context_of, root, decoder):
    files = put_archive(root, archived_run(NEW), decoder)
    garbage(files[0])
    with pytest.raises(DataError, match=files[0].name):
        start(context_of(warmStart={"archive": files[1].name}))


def test_one_damaged_size_is_told_and_the_other_is_used(context_of, root, decoder):
    files = put_archive(root, archived_run(NEW), decoder)
    garbage(files[0])
    started = start(context_of())
    assert started.source == NEW
    assert [note for note in started.notes if files[0].name in note]


def test_an_archive_that_is_not_there_ends_with_64_and_names_those_that_are(
    context_of, root, decoder
):
    put_archive(root, archived_run(OLD), decoder)
    with pytest.raises(SpecError, match="is not on the archives' volume") as caught:
        start(context_of(warmStart={"archive": "20240101T000000Z"}))
    assert caught.value.mend == f"runs there: {OLD}"
    assert caught.value.exit_code == 64


def test_only_damaged_archives_mean_a_cold_start_that_says_so(context_of, root, decoder):
    for file in put_archive(root, archived_run(NEW), decoder):
        garbage(file)
    started = start(context_of())
    assert (started.source, started.pool) == ("", None)
    assert len(started.notes) == 2


def test_very_many_damaged_archives_are_counted_not_listed(context_of, root):
    folder = root / "team-a" / "support"
    folder.mkdir(parents=True)
    for day in range(1, 29):
        (folder / f"202501{day:02d}T000000Z_size01.tar.zst").write_bytes(b"x")
    notes = start(context_of()).notes
    assert len(notes) == 11
    assert notes[-1] == "18 more archives left out"
    assert "20250128" in notes[0]


CANDIDATE = {"instructions": "one", "demonstrations": [], "source": "base"}
LIES = {
    "no-pool": {"candidates_json": b"{}"},
    "candidates-are-none": {"candidates_json": b'{"version":1,"candidates":{"plan":[7]}}'},
}


@pytest.mark.parametrize("change", LIES.values(), ids=LIES)
def test_an_archive_without_a_usable_pool_is_left_out(context_of, root, decoder, change):
    put_archive(root, archived_run(OLD), decoder)
    put_archive(root, archived_run(NEW, **change), decoder)
    started = start(context_of())
    assert started.source == OLD
    assert any(NEW in note and "candidate" in note for note in started.notes)
    with pytest.raises(DataError, match="candidate"):
        start(context_of(warmStart={"archive": NEW}))


def test_an_archive_that_chose_what_its_pool_lacks_is_left_out(context_of, root, decoder):
    put_archive(root, archived_run(OLD), decoder)
    lying = with_result(archived_run(NEW), "00", ("outcome", "choice"), {"plan": 99})
    put_archive(root, lying, decoder)
    started = start(context_of())
    assert started.source == OLD
    assert any("node plan has no candidate 99" in note for note in started.notes)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("outcome",), {}, id="no-outcome"),
        pytest.param(("outcome", "score"), "high", id="score-of-text"),
        pytest.param(("outcome", "score"), 10**400, id="score-beyond-numbers"),
        pytest.param(("outcome", "posterior", "losses"), [-1.0, 0.0], id="negative-counts"),
        pytest.param(("outcome", "choice"), {"plan": -1}, id="negative-candidate"),
        pytest.param(("figures", "score"), 7, id="figures-beyond-1"),
        pytest.param(("figures",), None, id="no-figures"),
    ],
)
def test_a_result_that_lies_is_left_out_and_the_rest_is_used(
    context_of, root, decoder, caplog, path, value
):
    caplog.set_level("INFO", "cascade")
    put_archive(root, with_result(archived_run(NEW), "00", path, value), decoder)
    context = context_of()
    started = start(context)
    assert started.source == NEW
    assert "the archived result of 00 is left out" in caplog.text
    data = RunData(context.redis, context.keys)
    assert data.start("00").choice is None
    assert data.start("00_01").choice is not None


def test_the_best_run_by_score_is_taken_whatever_a_lying_one_claims(context_of, root, decoder):
    put_archive(root, archived_run(OLD, {"00": 0.9, "01": 0.1, "00_01": 0.2}), decoder)
    put_archive(root, archived_run("20250103T000000Z", {"00": 0.3, "00_01": 0.2}), decoder)
    boasting = with_result(archived_run(NEW), "00", ("outcome", "score"), 10**400)
    put_archive(root, boasting, decoder)
    assert start(context_of(warmStart={"policy": "Best"})).source == OLD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"recipe": "other/512"}, "embedded by r/256, the archive by other/512",
                     id="another-recipe"),
        pytest.param({"io_matrices": {}}, "no embeddings to compare", id="no-matrices"),
    ],
)  # fmt: skip
def test_vectors_of_another_recipe_are_not_compared(context_of, root, decoder, change, said):
    archive = archived_run(NEW, **change)
    hashes = ["0" * 64, "1" * 64]  # the validating records of then are not those of today
    rows = [replace(row, content_hash=h) for row, h in zip(archive.split, hashes, strict=False)]
    archive = replace(archive, split=(*rows, *archive.split[2:]))
    put_archive(root, archive, decoder)
    started = start(context_of())
    assert started.source == NEW
    assert any(said in note and "2 start uniform" in note for note in started.notes)


def test_an_own_archive_that_lies_is_left_out(context_of, root, decoder, caplog):
    caplog.set_level("INFO", "cascade")
    context = context_of()
    put_archive(root, archived_run(SESSION_ID, candidates_json=b'{"version":1}'), decoder)
    assert own_archive(context) is None
    assert "this run's own archive is left out" in caplog.text
    files = put_archive(root, archived_run(SESSION_ID), decoder)
    assert set(own_archive(context).groups) == {"00", "01", "00_01"}
    garbage(files[1])
    assert set(own_archive(context).groups) == {"00", "01"}
    assert "a part of this run's own archive is left out" in caplog.text
