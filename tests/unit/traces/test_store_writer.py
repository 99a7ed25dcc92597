"""A write over an older one: a reader finds the one or the other, or that it is gone."""

from dataclasses import replace

import numpy as np
import pytest

from cascade_operator.api.errors import DataError, RunDataGone
from cascade_operator.api.keys import RunKeys
from cascade_operator.traces import store_writer
from cascade_operator.traces.manifest import Manifest
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from fakes.traces import record

KEYS = RunKeys("uid-1", 3)
NODES = ("plan", "act")
COUNT = 600
RECORDS = [record(number) for number in range(COUNT)]
SPLITS = tuple(Split)
SPLIT = {r.record_id: SPLITS[i % 3] for i, r in enumerate(RECORDS)}


class Killed(BaseException):
    """The process ends here."""


def vectors(seed, *, killed_at=None):
    """A source of vectors that ends the process when it is asked for a chunk."""
    draw = np.random.default_rng(seed)
    raw = draw.standard_normal((5, COUNT, 8)).astype(np.float32)

    def rows(start, stop):
        if killed_at is not None and stop > killed_at:
            raise Killed
        return raw[:, start:stop], raw[:, start:stop, :4]

    return rows


def renamed(record, word):
    """The record with another word of the same length in its text."""
    return replace(record, inputs={**record.inputs, "plan": {"request": word}})


def write(client, records=RECORDS, seed=1, killed_at=None):
    TraceStore(client, KEYS).write_blocks(
        records, SPLIT, vectors(seed, killed_at=killed_at), "r", nodes=NODES
    )


def everything(store):
    return (
        store.record_ids(),
        [(r.record_id, r.inputs, r.split) for r in store.records()],
        *(array.tobytes() for array in store.build_io_matrix(NODES)),
        store.validated_raw().tobytes(),
    )


OTHER = {
    "the same data": ({}, True),
    "other vectors": ({"seed": 2}, False),
    "other texts, as long": ({"records": [renamed(r, "request X") for r in RECORDS]}, False),
    "other names": ({"records": list(reversed(RECORDS))}, False),
}


@pytest.mark.parametrize(("changes", "intact"), OTHER.values(), ids=OTHER.keys())
@pytest.mark.parametrize("cached", [True, False], ids=["manifest read before", "read after"])
def test_a_write_cut_short_is_never_mixed_with_the_older_one(redis_client, changes, intact, cached):
    first = {"records": [renamed(r, "request Y") for r in RECORDS]} if "records" in changes else {}
    write(redis_client, **first)
    reader = TraceStore(redis_client, KEYS)
    before = everything(reader)
    with pytest.raises(Killed):
        write(redis_client, **changes, killed_at=500)
    if not cached:
        reader = TraceStore(redis_client, KEYS)
    if intact:
        assert everything(reader) == before
    else:
        with pytest.raises(RunDataGone, match=r"another write|other records"):
            everything(reader)
    write(redis_client, **changes)
    assert everything(TraceStore(redis_client, KEYS))[0]


def test_the_manifest_is_written_last(redis_client):
    with pytest.raises(Killed):
        write(redis_client, killed_at=500)
    assert redis_client.exists(KEYS.chunk("vectors", 0))
    with pytest.raises(RunDataGone, match="manifest"):
        TraceStore(redis_client, KEYS).records()


def test_a_failure_to_write_is_not_lost_with_its_thread(redis_client):
    redis_client.set("filler", b"x" * (1 << 20))
    redis_client.config_set("maxmemory-policy", "noeviction")
    redis_client.config_set("maxmemory", redis_client.info("memory")["used_memory"] + 10_000)
    try:
        with pytest.raises(Exception, match="Redis refuses"):
            write(redis_client)
    finally:
        redis_client.config_set("maxmemory", 0)
    assert not redis_client.exists(KEYS.manifest())


def test_only_the_splits_asked_for_are_read(redis_client, monkeypatch):
    write(redis_client)
    store = TraceStore(redis_client, KEYS)
    found = [r.record_id for r in store.iter_records(Split.VALIDATION, Split.HELD_OUT)]
    assert found == [r.record_id for r in RECORDS if SPLIT[r.record_id] is not Split.TRAINING]
    assert [r.record_id for r in store.iter_records()] == [r.record_id for r in RECORDS]


def test_a_chunk_with_fewer_records_than_the_manifest_says(redis_client):
    write(redis_client)
    manifest = TraceStore(redis_client, KEYS).manifest()
    first, *rest = manifest.chunks
    other = store_writer.pack_encoded([b"{}"])
    entry = replace(first, text_bytes=len(other), text_crc=store_writer.frame_crc(other))
    redis_client.set(KEYS.chunk("text", 0), other)
    forged = replace(manifest, chunks=(entry, *rest))
    redis_client.set(KEYS.manifest(), forged.encode())
    with pytest.raises(RunDataGone, match="holds 1 records, not 200"):
        TraceStore(redis_client, KEYS).records()


def test_too_many_traces_are_bad_input(redis_client, monkeypatch):
    def encode(_self):
        raise ValueError("70000000 bytes of text are over the bound of 67108864")

    monkeypatch.setattr(Manifest, "encode", encode)
    with pytest.raises(DataError, match="600 traces are too many for one run") as caught:
        write(redis_client)
    assert "maxRecords" in caught.value.mend
