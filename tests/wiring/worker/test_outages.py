"""Servers that fail in the middle of a search: no trial is scored for it, and none is lost."""

from __future__ import annotations

import pytest

from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.dspy_settings import configure_dspy
from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.traces.embedding import ServerEmbedder
from cascade_operator.traces.embedding_client import OllamaClient, OpenAIClient
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.calls.http_transport import RetryPolicy
from cascade_operator.training.calls.shared_embedding import SharedEmbedder
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.metric import make_metric
from cascade_operator.training.search import GroupSearch, SearchSplit
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.stopping import RunGuard
from cascade_operator.training.strategy import SearchSettings
from cascade_operator.worker.run_data import RunData
from fakes.model_server import FakeModelServer
from fakes.ticket_runs import findings, ticket_answers
from fakes.ticket_workers import FINAL, KEYS, TicketWorkers, group_arguments

QUICK = RetryPolicy(attempts=3, rate_limited_attempts=5, base_delay=0.001, max_delay=0.01)
KEY = "00"
DIALECTS = ("OpenAI", "Ollama")
CLIENTS = {"OpenAI": OpenAIClient, "Ollama": OllamaClient}

OUTAGES = {
    "refuses": {"kind": "refuse"},
    "hangs": {"kind": "hang"},
    "limits": {"kind": "429", "retry_after": "0"},
    "limits-for-a-year": {"kind": "429", "retry_after": "-31536000"},
    "500": {"kind": "500"},
    "no-json": {"kind": "garbage"},
    "other-json": {"kind": "other"},
    "no-answer": {"kind": "nonsense"},
    "error-object": {"kind": "error"},
    "half-a-body": {"kind": "half"},
    "drips": {"kind": "drip"},
    "redirects": {"kind": "redirect"},
}


class Search:
    """One group's search on the prepared run, over the wire, with retries that do not last."""

    def __init__(self, workers: TicketWorkers, *, dialect="OpenAI", metric="JSONFields", url=""):
        configure_dspy()
        config = workers.config
        task = config.spec.models.task
        task = task.model_copy(
            update={"provider": dialect, "timeout": "1s", "endpoint": url or task.endpoint}
        )
        self.models = config.spec.models.model_copy(update={"task": task})
        self.config, self.dialect, self.metric = config, dialect, metric
        self.data = RunData(workers.client, workers.keys)
        self.store = TraceStore(workers.client, workers.keys)

    def run(self, on_trial=lambda _: None):
        spec, pool = self.config.spec, self.data.pool()
        group = self.config.group(KEY)
        services = CallServices("ns", SingleFlightCache(None), retries=QUICK)
        embedding = spec.models.embedding
        client = CLIENTS[self.dialect](
            embedding.endpoint, embedding.model, 1.0, sleep=lambda _: None
        )
        embedder = SharedEmbedder(
            ServerEmbedder(client, name="fake", model=embedding.model, dimensions=64),
            SingleFlightCache(None),
            "ns",
        )
        search = GroupSearch(
            group,
            ProgramSpace.of(group.nodes, pool.counts),
            SearchSplit(
                self.store.record_ids(Split.VALIDATION), self.store.record_ids(Split.HELD_OUT)
            ),
            SearchSettings(seed=7, trials=6),
            evaluator=CascadeEvaluator(
                spec.cascade,
                Cascade(spec.cascade, lm_for_nodes(self.models, services)),
                pool,
                self.store.records(),
                make_metric(self.metric, embed=embedder.embed),
                max_parallel_calls=2,
            ),
            checkpoints=self.data.checkpoints(KEY),
            guard=RunGuard(urgent=lambda: None),
            pool_digest=pool.digest,
            on_trial=on_trial,
        )
        return search.run().to_json()


@pytest.fixture(scope="module")
def own(tmp_path_factory, reference, server, redis_socket):
    """A run whose answers are kept nowhere, so that each search asks for all of them."""
    return TicketWorkers.at(tmp_path_factory.mktemp("own"), redis_socket, server.url)


@pytest.fixture(scope="module")
def right(own, reference, server):
    """What an undisturbed search finds, by dialect and metric."""
    found = {}
    for dialect in DIALECTS:
        for metric in ("JSONFields", "Cosine"):
            own.load(reference.prepared)
            found[dialect, metric] = Search(own, dialect=dialect, metric=metric).run()
    assert len({trial["score"] for trial in found["OpenAI", "Cosine"]["trials"]}) > 2
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_of_the_model_ends_the_attempt_and_the_next_goes_on(
    own, reference, server, right, dialect, outage
):
    own.load(reference.prepared)
    search = Search(own, dialect=dialect)
    _fails_after_a_trial(server, search, OUTAGES[outage])
    assert search.run() == right[dialect, "JSONFields"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("outage", [name for name in OUTAGES if name != "redirects"])
def test_an_outage_shorter_than_the_retries_changes_nothing(
    own, reference, server, right, dialect, outage
):
    own.load(reference.prepared)
    search = Search(own, dialect=dialect)
    assert (
        search.run(lambda _: server.fail(**OUTAGES[outage], times=1))
        == (right[dialect, "JSONFields"])
    )
    server.recover()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("outage", ["refuses", "hangs", "500", "other-json", "half-a-body"])
def test_an_outage_of_the_embeddings_that_score_is_no_score(
    own, reference, server, right, dialect, outage
):
    own.load(reference.prepared)
    # The model answers from a server of its own, so only what scores is away.
    with FakeModelServer(ticket_answers()) as models:
        search = Search(own, dialect=dialect, metric="Cosine", url=models.url)
        _fails_after_a_trial(server, search, OUTAGES[outage])
        assert search.run() == right[dialect, "Cosine"]


def _fails_after_a_trial(server, search, outage):
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            search.run(lambda trials: server.fail(**outage, times=-1) if len(trials) == 3 else None)
    finally:
        server.recover()
    assert server.url in str(caught.value)
    assert caught.value.mend
    saved = search.data.checkpoints(KEY).load()["trials"]
    # A trial whose texts were all embedded before needs no server; what is in flight is not kept.
    assert 3 <= len(saved) < 6


def test_a_server_that_dies_and_comes_back_costs_an_attempt_and_nothing_else(
    workers, reference, server
):
    """Through the worker's own Jobs, with their own retries, in prepare and in a group."""
    with FakeModelServer(ticket_answers()) as first:
        port = int(first.url.rpartition(":")[2])
        moved = TicketWorkers.at(
            workers.folder / "moved", workers.url.removeprefix("unix://"), first.url
        )
        first.fail("refuse", -1)
        with pytest.raises(ServiceUnavailable, match="embedding server"):
            moved.inside("prepare")
        first.recover()
        first.fail("refuse", -1, wanted=lambda body: "proposed_instruction" in str(body))
        with pytest.raises(ServiceUnavailable, match=first.url):
            moved.inside("prepare")
        first.recover()
        moved.inside("prepare")
        asked = first.chats
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        moved.inside(*group_arguments(KEYS[0]))
    with FakeModelServer(ticket_answers(), port=port) as second:
        moved.train()
        moved.inside(*FINAL)
        # Here, in one process, calls in flight of the attempt that failed may outlive it.
        assert reference.chats[1] <= second.chats <= reference.chats[1] + 2
    assert asked >= reference.chats[0]
    assert findings(moved.archive()) == reference.found
