"""The evaluator over the real cascade and DSPy; only the model server is a script."""

from __future__ import annotations

import json
import re

import pytest

from cascade_operator.agents.abort import CallAborted
from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.training.evaluate import CascadeEvaluator
from cascade_operator.training.metric import make_metric
from cascade_operator.training.pool import CandidatePool
from fakes.records import SPEC, stored
from fakes.scripted_engine import ScriptedEngine, last_of, system_of

RECORDS = [stored(n) for n in range(3)]
IDS = [record.record_id for record in RECORDS]


def answer(request) -> object:
    """Answers right only where the instructions ask for care."""
    number = int(re.findall(r"request (\d+)", last_of(request))[-1])
    if "`call`" in system_of(request):
        said = {"call": {"n": number if "carefully" in system_of(request) else 99}}
    else:
        said = {"brief": f"brief {number}"}
    if "JSON object" in system_of(request):
        return said
    name, value = next(iter(said.items()))
    return f"[[ ## {name} ## ]]\n{value if name == 'brief' else json.dumps(value)}"


def evaluator(engine: ScriptedEngine, parallel: int = 2) -> CascadeEvaluator:
    cascade = Cascade(SPEC, lambda node: engine.lm())
    demo = Demonstration("r9", {"request": "request 9", "brief": "b"}, {"call": {"n": 9}})
    pool = CandidatePool(
        {
            "plan": (cascade.base_candidate("plan"),),
            "act": (
                cascade.base_candidate("act"),
                Candidate("Write the call carefully.", (demo,), "proposed"),
            ),
        }
    )
    metric = make_metric("JSONFields")
    return CascadeEvaluator(SPEC, cascade, pool, RECORDS, metric, max_parallel_calls=parallel)


def test_a_candidates_instructions_reach_the_model_and_change_the_score() -> None:
    engine = ScriptedEngine(answer)
    run = evaluator(engine)
    assert run.evaluate({}, IDS).scores == (0.0, 0.0, 0.0)
    assert run.evaluate({"act": 1}, IDS).scores == (1.0, 1.0, 1.0)
    assert len(engine.requests) == 3 + 3 + 3


def test_an_unreadable_answer_scores_0_and_is_counted() -> None:
    found = evaluator(ScriptedEngine(lambda request: "??")).evaluate({}, IDS)
    assert found.scores == (0.0, 0.0, 0.0)
    assert found.parse_failures == 3


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_server_that_is_away_is_not_a_score(parallel: int) -> None:
    engine = ScriptedEngine(lambda request: CallAborted(ServiceUnavailable("away")))
    with pytest.raises(ServiceUnavailable):
        evaluator(engine, parallel).evaluate({}, IDS)
