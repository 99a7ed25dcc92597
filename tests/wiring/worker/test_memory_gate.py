"""The memory gate in each Job: it leaves with 75 and what it has, and more memory ends it well."""

from __future__ import annotations

import pytest

from cascade_operator.api.errors import MemoryGateReached
from cascade_operator.resources.cgroup import MemoryReading
from cascade_operator.worker import context as worker_context
from fakes.ticket_runs import findings
from fakes.ticket_workers import FINAL, group_arguments

SHORT = {"CASCADE_MEMORY_LIMIT": str(16 << 20)}  # less than any Python with numpy takes
AMPLE = {"CASCADE_MEMORY_LIMIT": str(64 << 30)}


def _gate(workers, *arguments):
    with pytest.raises(MemoryGateReached, match="memory gate reached") as caught:
        workers.inside(*arguments, **SHORT)
    assert "memory.maxPerJob" in caught.value.mend


def test_prepare(workers, reference, server):
    before = server.stats()
    _gate(workers, "prepare")
    assert server.stats() == before, "it leaves before it asks anybody"
    workers.inside("prepare", **AMPLE)
    assert server.chats - before["chats"] == reference.chats[0]


def test_prepare_that_reaches_it_as_it_proposes(workers, reference, server, monkeypatch):
    """What was proposed by then is not asked for again."""
    before, full = server.chats, []

    def reader(*_):
        return lambda: MemoryReading(95 if full else 5, 100, "a test's", limited=True)

    def fill(request):
        if "proposed_instruction" in str(request.body):
            full.append(request)
        return False

    with monkeypatch.context() as patch, server.hold(fill):
        patch.setattr(worker_context, "choose_reader", reader)
        with pytest.raises(MemoryGateReached, match="95 %"):
            workers.inside("prepare")
    assert len(full) < 9, "some nodes are still to be proposed for"
    workers.inside("prepare", **AMPLE)
    again = server.chats - before - reference.chats[0]
    assert 0 <= again <= 1, "the call in flight alone is asked for again"


def test_group(workers, reference):
    workers.load(reference.prepared)
    _gate(workers, *group_arguments("00"))
    workers.inside(*group_arguments("00"), **AMPLE)
    ended = [workers.trials("00"), workers.outcome("00")]
    workers.load(reference.trained)
    assert ended == [workers.trials("00"), workers.outcome("00")]


def test_archive(workers, reference):
    workers.load(reference.trained)
    _gate(workers, *FINAL)
    assert workers.archive_files() == []
    workers.inside(*FINAL, **AMPLE)
    assert findings(workers.archive()) == reference.found
