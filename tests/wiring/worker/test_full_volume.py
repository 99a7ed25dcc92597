"""An archives' volume that is full: what was found stays in Redis for the next attempt."""

from __future__ import annotations

import resource

import pytest

from cascade_operator.api.errors import ArchiveWriteError
from fakes.ticket_runs import findings
from fakes.ticket_workers import FINAL, KEYS

PROGRESSIVE = ("archive", "--kind", "progressive", "--groups", KEYS[0])


@pytest.fixture
def no_room():
    """No file of this process may grow beyond 20 kB: for a writer, a volume that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(bytes_left=2_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))

    def free():
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield fill, free
    free()


def test_nothing_that_was_found_is_lost(workers, reference, server, no_room):
    fill, free = no_room
    workers.load(reference.trained)
    workers.inside(*PROGRESSIVE)
    before = {p: p.read_bytes() for p in workers.archive_files()}
    keys, asked = set(workers.client.scan_iter()), server.chats
    fill()
    with pytest.raises(ArchiveWriteError) as caught:
        workers.inside(*FINAL)
    free()
    assert str(workers.folder / "archives") in str(caught.value)
    assert caught.value.mend
    assert {p: p.read_bytes() for p in workers.archive_files()} == before
    assert set(workers.client.scan_iter()) >= keys, "the run's data stays"
    workers.inside(*FINAL)
    assert findings(workers.archive()) == reference.found
    assert server.chats == asked


def test_embeddings_that_find_no_room_cost_time_alone(workers, reference, server, no_room, caplog):
    fill, free = no_room
    fill(100)
    workers.inside("prepare")
    free()
    assert "takes no rows" in caplog.text
    assert workers.client.exists(workers.keys.prepare_state())
