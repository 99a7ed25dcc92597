"""All groups of the default cascade against as many compiles of stock ``dspy.MIPROv2``.

Both train all fifteen node groups at one scripted server, whose answers get better with certain
instructions and with demonstrations, and which counts the requests. Stock is fifteen compiles, each
in a process of its own as fifteen jobs would be, with DSPy's caches as they come and fresh in each.
Ours is the real prepare and the real group Jobs over one Redis, in the order of the lattice. Both
have the same training and validation records, seed, candidates a node, trials a group and
demonstrations, and score each trial on the whole validation split. At the end one evaluator scores
the best program of every group on the validation split, at another server.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis

from bench.figure import Figure
from bench.four_tiers import job_context, job_environment, run_config, trace_rows, write_traces
from bench.servers import redis_url
from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.models_spec import ModelSpec, ModelsSpec
from cascade_operator.api.run import RunConfig
from cascade_operator.control.domain.policies.lattice import Standing, immediate_subsets
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import StoredRecord, TraceStore
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.evaluate import score_runs
from cascade_operator.training.metric import make_metric
from cascade_operator.training.runs import BatchedCascade
from cascade_operator.worker.group import run_group
from cascade_operator.worker.prepare import run_prepare
from cascade_operator.worker.run_data import RunData
from fakes.model_answers import answers_of_trace
from fakes.model_server import FakeModelServer

COMMAND = "python -m bench model_calls"
STOCK = Path(__file__).with_name("stock_compile.py")
RECORDS, CANDIDATES, TRIALS, DEMONSTRATIONS, SEED, THREADS = 24, 4, 16, 2, 42, 2

Programs = dict[str, dict[str, Candidate]]
"""Group key -> node -> candidate; nodes left out are as declared."""


def measure() -> list[Figure]:
    rows = trace_rows(RECORDS)
    with (
        tempfile.TemporaryDirectory(prefix="cm-") as name,
        FakeModelServer([answers_of_trace(row) for row in rows]) as server,
        redis_url() as store,
    ):
        folder = Path(name)
        traces = write_traces(folder, rows)
        config = _config(server.url)
        environment = job_environment(folder, store, config, traces)
        before = server.stats()
        ours, figures = _ours(environment, config)
        between = server.stats()
        groups = config.node_groups()
        client = redis.Redis.from_url(store)
        trace_store = TraceStore(client, RunKeys(config.uid, config.run))
        records = {
            split: [r for r in trace_store.records() if r.split is split]
            for split in (Split.TRAINING, Split.VALIDATION)
        }
        stock = _stock(folder, server.url, groups, records)
        after = server.stats()
    own, theirs = between["chats"] - before["chats"], after["chats"] - between["chats"]
    agree = (figures.model_calls, figures.tokens) == (own, between["tokens"] - before["tokens"])
    scores = [_scores(rows, programs, records[Split.VALIDATION]) for programs in (ours, stock)]
    means = [statistics.mean(one.values()) for one in scores]
    print(f"  model calls: ours {own} (and {figures.saved_calls} spared), stock {theirs}")
    print(f"  mean best score: ours {means[0]:.4f}, stock {means[1]:.4f}")
    for group in groups:
        print(f"    {group.key:12} {scores[0][group.key]:.4f} {scores[1][group.key]:.4f}")
    return [
        Figure("model calls over those of stock MIPROv2", own / theirs, 0.25, False, COMMAND),
        Figure("mean best score minus stock's", means[0] - means[1], 0.0, True, COMMAND),
        Figure("calls and tokens as the server counts them", float(agree), 1, True, COMMAND),
    ]


def _config(url: str) -> RunConfig:
    task = {"provider": "OpenAI", "model": "fake", "endpoint": url, "maxParallelCalls": THREADS}
    return run_config(
        models={
            "task": task,
            "embedding": {"endpoint": url},
            "reduction": {"method": "PCA"},
        },
        traces={"file": "traces.jsonl", "validationFraction": 0.5, "heldOutFraction": 0.1},
        optimizer={
            "candidates": CANDIDATES,
            "trials": TRIALS,
            "seed": SEED,
            "maxBootstrappedDemonstrations": DEMONSTRATIONS,
            "maxLabeledDemonstrations": DEMONSTRATIONS,
        },
        objective={"metric": "JSONFields"},
    )


def _ours(environment: Mapping[str, str], config: RunConfig) -> tuple[Programs, CallFigures]:
    """Runs prepare and all groups; returns the best programs and the calls they say they made."""
    figures = run_prepare(job_context(environment)).calls
    standings = dict.fromkeys(config.groups, Standing.SUCCEEDED)
    programs: Programs = {}
    for group in config.node_groups():
        context = job_context(environment)
        parents = immediate_subsets(group.key, standings)
        result = run_group(context, group.key, seconds_left=3600, parents=parents)
        figures = figures.plus(result.calls)
        pool = RunData(context.redis, context.keys).pool()
        chosen = pool.programs(result.choice)
        programs[group.key] = {name: chosen[name] for name in group.nodes}
    return programs, figures


def _stock(
    folder: Path, url: str, groups: Sequence[NodeGroup], records: Mapping[Split, list[StoredRecord]]
) -> Programs:
    def compiled(group: NodeGroup) -> dict[str, Candidate]:
        task = folder / f"{group.key}.json"
        task.write_text(
            json.dumps(
                {
                    "url": url,
                    "nodes": group.nodes,
                    "trainset": [_example(record) for record in records[Split.TRAINING]],
                    "valset": [_example(record) for record in records[Split.VALIDATION]],
                    "candidates": CANDIDATES,
                    "trials": TRIALS,
                    "demonstrations": DEMONSTRATIONS,
                    "seed": SEED,
                    "threads": THREADS,
                }
            )
        )
        done = subprocess.run(
            [sys.executable, str(STOCK), str(task)],
            env={**os.environ, "DSPY_CACHEDIR": str(folder / f"cache-{group.key}")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"stock {group.key} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {name: Candidate.from_json(value) for name, value in found.items()}

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((g.key for g in groups), pool.map(compiled, groups), strict=True))


def _example(record: StoredRecord) -> dict[str, Any]:
    fields = [*record.inputs.values(), *record.outputs.values()]
    first = next(iter(record.inputs.values()))
    return {
        "id": record.record_id,
        "inputs": list(first),
        "fields": {name: value for one in fields for name, value in one.items()},
        "validated": dict(record.validated),
    }


def _scores(
    rows: list[dict[str, Any]], programs: Programs, records: Sequence[StoredRecord]
) -> dict[str, float]:
    """The mean validation score of each group's program, at a server of its own."""
    with FakeModelServer([answers_of_trace(row) for row in rows]) as server:
        task = ModelSpec(provider="OpenAI", model="fake", endpoint=server.url)
        services = CallServices("bench-scores", SingleFlightCache(None), seed=SEED)
        config = _config(server.url)
        cascade = Cascade(config.spec.cascade, lm_for_nodes(ModelsSpec(task=task), services))
        runner = BatchedCascade(config.spec.cascade, cascade, BoundedBatch(THREADS, lambda: None))
        metric = make_metric("JSONFields")
        base = {name: cascade.base_candidate(name) for name in cascade.node_names}
        found = {}
        for key, chosen in programs.items():
            scores = score_runs(metric, records, runner.run(records, base | chosen)).scores
            found[key] = statistics.mean(scores)
    return found
