"""What we add to a model call: the cascade through our calls against plain ``dspy.Evaluate``.

Both run the same four-node program with the same prompts, threads and server, which answers at
once, so that the client's own work is all there is. Plain is ``dspy.LM`` and DSPy's adapters as it
ships them, its cache off. Every round has records of its own: nothing repeats.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import dspy
import redis
from dspy.adapters.baml_adapter import BAMLAdapter

from bench.figure import Figure
from bench.servers import INSTANT, redis_url, serving
from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.dspy_settings import configure_dspy
from cascade_operator.agents.modules import build_module
from cascade_operator.agents.program import CascadeProgram
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.models_spec import ModelSpec, ModelsSpec
from cascade_operator.traces.record import TraceRecord
from cascade_operator.training.calls.budget import BudgetCounters, BudgetLimits
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.metric import make_metric
from cascade_operator.training.pool import CandidatePool

COMMAND = "python -m bench own_overhead"
RECORDS, THREADS, ROUNDS = 60, 4, 7
# A name that DSPy knows to hold answers to a schema, so that both send the same requests.
MODEL = "gpt-4o-mini"


def measure() -> list[Figure]:
    configure_dspy()
    with serving([str(INSTANT)]) as url, redis_url() as store:
        client = redis.Redis.from_url(store)
        cold: list[float] = []
        plain: list[float] = []
        warm: list[float] = []
        shared: list[float] = []
        adapted: list[float] = []
        for number in range(ROUNDS + 1):
            records = _records(number)
            plain.append(_seconds(lambda: _plain(url, records, stock=True)))  # noqa: B023
            evaluate = _ours(url, client, records)
            cold.append(_seconds(evaluate))
            warm.append(_seconds(evaluate))
            shared.append(_seconds(_ours(url, client, records)))
            adapted.append(_seconds(lambda: _plain(url, records, stock=False)))  # noqa: B023
    base = statistics.median(plain[1:])  # the first round warms up
    ratios = [base / statistics.median(one[1:]) for one in (cold, warm, shared, adapted)]
    print(f"  plain dspy.Evaluate: {RECORDS / base:.0f} trial-examples a second")
    return [
        Figure("own overhead: examples a second over plain DSPy", ratios[0], 0.8, True, COMMAND),
        Figure("warm cache: examples a second over plain DSPy", ratios[1], 4.0, True, COMMAND),
        Figure("only Redis warm: examples a second over plain", ratios[2], None, True, COMMAND),
        Figure("plain DSPy with our adapters over plain DSPy", ratios[3], None, True, COMMAND),
    ]


def _plain(url: str, records: Sequence[TraceRecord], *, stock: bool) -> None:
    lm = dspy.LM(
        f"openai/{MODEL}",
        api_base=f"{url}/v1",
        api_key="none",
        cache=False,
        temperature=0.0,
        max_tokens=1024,
    )
    cascade = Cascade(DEFAULT_CASCADE, lambda _: lm)
    runtimes = [cascade.runtime(name) for name in cascade.node_names]
    program = CascadeProgram(
        (
            replace(one, adapter=_stock(one.spec)) if stock else one,
            build_module(one.spec, one.fields),
        )
        for one in runtimes
    )
    metric = make_metric("JSONFields", embed=_no_embedding)
    first = DEFAULT_CASCADE.nodes[0].name
    examples = [
        dspy.Example(record=record, **record.inputs[first]).with_inputs(*record.inputs[first])
        for record in records
    ]
    evaluate = dspy.Evaluate(
        devset=examples,
        metric=lambda example, found, _trace=None: metric.score(
            example.record, dict(found.items())
        ),
        num_threads=THREADS,
        display_progress=False,
    )
    evaluate(program)


def _stock(node: NodeSpec) -> dspy.Adapter:
    # Where a schema is sent, a Chat node is asked in JSON: see make_adapter.
    return BAMLAdapter() if str(node.adapter) == "BAML" else dspy.JSONAdapter()


def _ours(url: str, client: redis.Redis, records: Sequence[TraceRecord]) -> Callable[[], object]:
    services = CallServices(
        "bench",
        SingleFlightCache(client),
        budget=BudgetCounters(client, RunKeys("bench", 1), BudgetLimits()),
    )
    task = ModelSpec(
        provider="OpenAI",
        model=MODEL,
        endpoint=url,
        structured_output="Schema",
        max_parallel_calls=THREADS,
    )
    cascade = Cascade(DEFAULT_CASCADE, lm_for_nodes(ModelsSpec(task=task), services))
    pool = CandidatePool({name: (cascade.base_candidate(name),) for name in cascade.node_names})
    evaluator = CascadeEvaluator(
        DEFAULT_CASCADE,
        cascade,
        pool,
        records,
        make_metric("JSONFields", embed=_no_embedding),
        max_parallel_calls=THREADS,
    )
    choice = dict.fromkeys(cascade.node_names, 0)
    return lambda: evaluator.evaluate(choice, [record.record_id for record in records])


def _records(number: int) -> list[TraceRecord]:
    first, *_, last = (node.name for node in DEFAULT_CASCADE.nodes)
    function = {
        "name": "set_value",
        "description": "Sets a value.",
        "parameters": {"type": "object", "properties": {"value": {"type": "integer"}}},
    }
    return [
        TraceRecord(
            f"r{number}-{i}",
            {first: {"request": f"Set it to {number * RECORDS + i}.", "functions": [function]}},
            {last: {"call": {"name": "set_value", "arguments": {"value": i}}}},
            {"call": {"name": "set_value", "arguments": {"value": i}}},
        )
        for i in range(RECORDS)
    ]


def _no_embedding(texts: Sequence[str]) -> object:
    raise AssertionError(f"{len(texts)} texts to embed")


def _seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin
