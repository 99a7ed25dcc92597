"""A worker told to stop leaves within five seconds with 143, wherever it is, and nothing is lost.

Each case brings a real worker process to one place, where something it waits for is held back,
stops it there, lets go, and has the next attempt end as the undisturbed run did.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cascade_operator.api.published import check_program
from cascade_operator.local.orphans import ProcessIdentity
from cascade_operator.worker.run_data import RunData
from fakes.cascade_cli import until_gone
from fakes.ticket_runs import findings, ticket_rows
from fakes.ticket_workers import FINAL, SESSION_ID, TicketWorkers, group_arguments

pytestmark = pytest.mark.process

SECONDS = 5.0
PARALLEL = 2


def _is_chat(request):
    return "chat" in request.path


def _is_embedding(request):
    return "embed" in request.path


def _is_proposal(request):
    return _is_chat(request) and "proposed_instruction" in str(request.body)


def _asks_a_held_out_ticket(reference):
    held_out = {row.record_id for row in reference.found["split"] if row.split == "heldOut"}
    tickets = [
        row["agent_chain_inputs"]["classify"]["ticket"]
        for row in ticket_rows()
        if row["record_id"] in held_out
    ]
    assert tickets
    return lambda request: (
        _is_chat(request)
        and any(ticket in request.body["messages"][-1]["content"] for ticket in tickets)
    )


@dataclass
class Scene:
    """What a case has at hand."""

    workers: TicketWorkers
    server: object
    reference: object

    @contextlib.contextmanager
    def held(self, wanted):
        """Brings the worker to a request of this kind."""
        with self.server.hold(wanted) as held:
            yield lambda worker: worker.until(held.is_set)

    @contextlib.contextmanager
    def redis_hangs(self) -> Iterator[Callable]:
        """Stops Redis before the worker begins."""
        pid = self.workers.client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            # It has begun once it waits for Redis: a socket of its own is what it waits with.
            yield lambda worker: worker.until(lambda: _connected(worker.pid))
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def write_hangs(self, behind: Callable | None = None) -> Iterator[Callable]:
        """Redis takes no writes: from the beginning, or from a request of this kind on."""
        client = self.workers.client

        def there(worker):
            if behind is not None:
                with self.server.hold(behind) as held:
                    worker.until(held.is_set)
                    client.client_pause(120_000, all=False)
            worker.until(lambda: any("b" in one["flags"] for one in client.client_list()))

        if behind is None:
            client.client_pause(120_000, all=False)
        try:
            yield there
        finally:
            client.client_unpause()

    @contextlib.contextmanager
    def child_hangs(self, words: str) -> Iterator[Callable]:
        """Stops a process that the worker has started; it goes on at the block's end."""
        found = []

        def there(worker):
            worker.until(lambda: found.extend(worker.children(words)) or found)
            found[0].suspend()

        try:
            yield there
        finally:
            for child in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.resume()


def _connected(pid: int) -> bool:
    """Whether a process has a socket."""
    links = []
    with contextlib.suppress(OSError):
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return any(link.startswith("socket:") for link in links)


PREPARE = {
    "embedding": lambda s: s.held(_is_embedding),
    "keeping-embeddings": lambda s: s.write_hangs(_is_embedding),
    "bootstrapping": lambda s: s.held(_is_chat),
    "proposing": lambda s: s.held(_is_proposal),
}


@pytest.mark.parametrize("place", PREPARE)
def test_prepare(workers, server, reference, place):
    scene = Scene(workers, server, reference)
    before = server.chats
    with PREPARE[place](scene) as there, workers.start("prepare") as worker:
        there(worker)
        stopped = worker.stop()
    _assert_left(stopped)
    workers.inside("prepare")
    assert prepared(workers) == prepared_in(workers, reference)
    again = server.chats - before - reference.chats[0]
    assert 0 <= again <= PARALLEL, "only calls in flight are asked for again"


def test_prepare_while_umap_runs(workers, reference, redis_socket, server, tmp_path):
    umap = TicketWorkers.at(tmp_path / "umap", redis_socket, server.url, reduction="UMAP")
    with umap.start("prepare") as worker:
        worker.until(lambda: worker.children("umap_process"))
        child = ProcessIdentity.of(worker.children("umap_process")[0].pid)
        stopped = worker.stop()
        _assert_left(stopped)
        until_gone({child}, seconds=5)
    workers.inside("prepare")
    assert prepared(workers) == prepared_in(workers, reference)


def test_prepare_that_starts_warm(workers, server, reference):
    workers.load(reference.trained)
    workers.inside(*FINAL)
    second = workers.of_run(2, "20260102T000000Z")
    scene = Scene(second, server, reference)
    with scene.child_hangs("table_process") as there, second.start("prepare") as worker:
        there(worker)
        stopped = worker.stop()
    _assert_left(stopped)
    result = second.inside("prepare")
    assert result.warm_started_from == SESSION_ID
    assert result.candidates == {
        node: len(candidates)
        for node, candidates in reference.found["candidates"]["candidates"].items()
    }, "nothing was proposed or joined twice"


GROUP = {
    "redis": lambda s: s.redis_hangs(),
    "first-call": lambda s: s.held(_is_chat),
    "held-out": lambda s: s.held(_asks_a_held_out_ticket(s.reference)),
}


@pytest.mark.parametrize("place", GROUP)
def test_group(workers, server, reference, place):
    workers.load(reference.prepared)
    scene = Scene(workers, server, reference)
    with GROUP[place](scene) as there, workers.start(*group_arguments("00")) as worker:
        there(worker)
        stopped = worker.stop()
    _assert_left(stopped)
    _assert_ends_as_undisturbed(workers, reference)


def test_a_signal_that_is_repeated_changes_nothing(workers, server, reference):
    workers.load(reference.prepared)
    scene = Scene(workers, server, reference)
    with scene.held(_is_chat) as there, workers.start(*group_arguments("00")) as worker:
        there(worker)
        stopped = worker.stop(signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
    _assert_left(stopped)
    assert stopped.message.reason == "Terminated"


def test_group_between_trials(workers, server, reference):
    workers.load(reference.prepared)
    server.delay = 0.05
    with workers.start(*group_arguments("00")) as worker:
        worker.until(lambda: "trial 2 " in worker.text)
        stopped = worker.stop()
    server.delay = 0.0
    _assert_left(stopped)
    assert len(workers.trials("00")) >= 3
    _assert_ends_as_undisturbed(workers, reference)


ARCHIVE = {
    # Reading a key renews its life, which is a write.
    "collecting": lambda s: s.write_hangs(),
    "reading-back": lambda s: s.child_hangs("table_process"),
}


@pytest.mark.parametrize("place", ARCHIVE)
def test_archive(workers, server, reference, place):
    workers.load(reference.trained)
    scene = Scene(workers, server, reference)
    with ARCHIVE[place](scene) as there, workers.start(*FINAL) as worker:
        there(worker)
        stopped = worker.stop()
    _assert_left(stopped)
    assert not [p for p in workers.archive_files() if not p.name.startswith(".")]
    workers.inside(*FINAL)
    _assert_archived(workers, reference)


def test_archive_cut_short_as_it_removes_keys(workers, reference):
    workers.load(reference.trained)
    written = workers.inside(*FINAL)
    # What the operator publishes stays, and is what the archives hold.
    program, told = workers.client.get(workers.keys.program()), written.program
    assert check_program(program, sha256=told.sha256, size=told.bytes)
    assert program == workers.archive().groups[told.group].program_json
    assert told.group == written.best.group
    # What such an end leaves: the mark, and some keys of which a result and a checkpoint are gone.
    workers.load(reference.trained)
    RunData(workers.client, workers.keys).put_archived(written)
    workers.client.delete(workers.keys.result("00"), f"{workers.keys.checkpoint('00')}:a")
    assert workers.inside(*FINAL) == written
    _assert_archived(workers, reference)
    assert not list(workers.client.scan_iter(f"{workers.keys.prefix}*"))


def test_an_archive_that_is_gone_is_written_again_whatever_the_mark_says(workers, reference):
    workers.load(reference.trained)
    written = workers.inside(*FINAL)
    workers.load(reference.trained)
    RunData(workers.client, workers.keys).put_archived(written)
    workers.archive_files()[0].unlink()
    workers.inside(*FINAL)
    _assert_archived(workers, reference)


def prepared(workers):
    """What prepare leaves for the groups."""
    keys = workers.keys
    names = [keys.pool(), keys.manifest(), keys.reducer(), keys.chunk("vectors", 0)]
    return [workers.client.get(name) for name in [*names, keys.chunk("text", 0)]]


def prepared_in(workers, reference):
    workers.load(reference.prepared)
    return prepared(workers)


def _assert_left(stopped):
    assert stopped.code == 143, stopped.text
    assert stopped.seconds < SECONDS
    assert "Traceback" not in stopped.text


def _assert_ends_as_undisturbed(workers, reference):
    workers.inside(*group_arguments("00"))
    ended = [workers.trials("00"), workers.outcome("00")]
    workers.load(reference.trained)
    assert ended == [workers.trials("00"), workers.outcome("00")]


def _assert_archived(workers, reference):
    assert findings(workers.archive()) == reference.found
    assert [p.name for p in workers.archive_files()] == [
        f"{SESSION_ID}_size{size:02d}.tar.gz" for size in (1, 2)
    ], "no partial file is left"
