from __future__ import annotations

import dspy
import pytest

from cascade_operator.agents.abort import CallAborted
from cascade_operator.agents.candidate import Demonstration
from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.training.grounded import GroundedProposer
from cascade_operator.training.instructions import InstructionTask
from fakes.records import SPEC
from fakes.scripted_engine import ScriptedEngine, last_of, system_of

ANSWER = "[[ ## proposed_instruction ## ]]\nName the function.\n\n[[ ## completed ## ]]"
DEMO = Demonstration("r1", {"request": "book a flight"}, {"brief": "flight wanted"})


def task(attempt: int = 0) -> InstructionTask:
    return InstructionTask(SPEC.node("plan"), "Say what is wanted.", [DEMO], attempt)


def proposer(engine: ScriptedEngine) -> GroundedProposer:
    return GroundedProposer(SPEC, engine.lm(), seed=3)


@pytest.mark.parametrize(
    ("said", "structured"),
    [
        pytest.param(ANSWER, False, id="field-markers"),
        pytest.param({"proposed_instruction": "Name the function."}, True, id="by-schema"),
    ],
)
def test_one_call_with_the_nodes_place_examples_and_declared_instructions(
    said: object, structured: bool
) -> None:
    engine = ScriptedEngine(lambda request: said, structured=structured)
    assert proposer(engine).propose(task()) == "Name the function."
    assert len(engine.requests) == 1
    prompt = system_of(engine.requests[0]) + last_of(engine.requests[0])
    for said in ("Step 1 of 2", "book a flight", "flight wanted", "Say what is wanted."):
        assert said in prompt


@pytest.mark.parametrize("said", ["", "no structure at all", "{}"], ids=repr)
def test_an_answer_that_cannot_be_read_is_none_after_one_call(said: str) -> None:
    engine = ScriptedEngine(lambda request: said)
    assert proposer(engine).propose(task()) is None
    assert len(engine.requests) == 1


class NotingLM(dspy.LM):
    """A model that notes how it is varied."""

    varied: list[dict]

    def copy(self, **kwargs):
        self.varied.append(kwargs)
        return super().copy(**kwargs)


def asked(*attempts: int) -> list[tuple[str, dict]]:
    engine = ScriptedEngine(lambda request: ANSWER)
    lm = NotingLM("scripted/cascade", engine=engine, cache=False, num_retries=0)
    lm.varied = []
    for attempt in attempts:
        GroundedProposer(SPEC, lm, seed=3).propose(task(attempt))
    return list(zip(map(last_of, engine.requests), lm.varied, strict=True))


def test_attempts_take_the_tips_in_turn() -> None:
    prompts = [prompt for prompt, _ in asked(*range(7))]
    assert len(set(prompts)) == 6
    assert prompts[6] == prompts[0]


def test_each_attempt_is_a_rollout_of_its_own_and_a_repeated_one_is_the_same() -> None:
    first, seventh = asked(0, 6)
    assert first[1]["rollout_id"] != seventh[1]["rollout_id"]
    assert first[1]["temperature"] == 1.0
    assert asked(0) == [first]


def test_a_server_that_is_away_is_no_empty_answer() -> None:
    engine = ScriptedEngine(lambda request: CallAborted(ServiceUnavailable("away")))
    with pytest.raises(ServiceUnavailable):
        proposer(engine).propose(task())
