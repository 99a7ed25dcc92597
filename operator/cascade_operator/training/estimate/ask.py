"""Asks a session's server a few of its own prompts: how fast it is, how long its answers are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.canonical import canonical_json
from cascade_operator.training.calls.meter import CallMeter, MeterReading
from cascade_operator.training.estimate.prompts import RecordedRun, characters, rendered
from cascade_operator.training.estimate.speed import CHARACTERS_PER_TOKEN, READING, Speed

CALLS: Final = 4
"""One to warm the server up, one alone, two at once."""
CALLS_IN_TURN: Final = 2
"""The first two, where the server is known to compute one request at a time."""


@dataclass(frozen=True, slots=True)
class _Took:
    """What one or more calls took."""

    seconds: float
    input: int
    output: int

    @property
    def weight(self) -> float:
        return READING * self.input + self.output


def ask_speed(
    cascade: Cascade, meter: CallMeter, node: str, records: Sequence[RecordedRun]
) -> Speed:
    """Runs one node's declared program on two or four records, by the model's own server.

    The first call is not timed: a server may load the model for it. Each record is asked once,
    since servers remember prompts. With fewer than four records nothing is asked at once.

    Args:
        cascade: Bound to models without a cache, whose calls ``meter`` counts.
        meter: Counts.
        node: The node to run.
        records: Records whose recorded inputs it reads.

    Raises:
        ServiceUnavailable: The server fails.
        SpecError: It does not know the model, or refuses the request.
    """
    sample = records[:CALLS]
    took = [_timed(cascade, meter, node, [record]) for record in sample[:2]]
    both = _timed(cascade, meter, node, sample[2:4]) if len(sample) == CALLS else None
    every = [*took, *([both] if both else [])]
    sent, received = sum(one.input for one in every), sum(one.output for one in every)
    alone = took[-1]
    gain = None
    if both is not None and both.seconds > 0 and alone.weight > 0:
        gain = min(2.0, max(1.0, both.weight / alone.weight * alone.seconds / both.seconds))
    shown = sum(_recorded(node, record) for record in sample) / CHARACTERS_PER_TOKEN
    length = sum(_prompt(cascade, node, record) for record in sample)
    return Speed(
        characters_per_token=length / sent if sent and length else CHARACTERS_PER_TOKEN,
        answer_factor=received / shown if shown and received else 1.0,
        seconds=alone.seconds,
        input=alone.input,
        output=alone.output,
        gain=gain,
    )


def speed_of(
    before: MeterReading, after: MeterReading, *, wall: float, prompts: float, answers: float
) -> Speed:
    """Returns what calls that a Job made anyway showed.

    Args:
        before: The meter before them.
        after: The meter after them.
        wall: Seconds in between, in which calls ran side by side.
        prompts: Mean characters of their prompts.
        answers: Mean characters of the answers that the traces show.
    """
    calls = after.model_calls - before.model_calls
    if calls <= 0:
        return Speed()
    sent = (after.input_tokens - before.input_tokens) / calls
    received = (after.output_tokens - before.output_tokens) / calls
    shown = answers / CHARACTERS_PER_TOKEN
    return Speed(
        characters_per_token=prompts / sent if sent and prompts else CHARACTERS_PER_TOKEN,
        answer_factor=received / shown if shown and received else 1.0,
        # What calls waited for each other is in each one's time, so the clock on the wall counts.
        seconds=wall / calls,
        input=sent,
        output=received,
    )


def _timed(cascade: Cascade, meter: CallMeter, node: str, records: Sequence[RecordedRun]) -> _Took:
    def run(fields: Mapping[str, Any]) -> None:
        cascade.run_node(node, cascade.base_candidate(node), fields)

    before, started = meter.reading(), time.monotonic()
    given = [record.inputs.get(node, {}) for record in records]
    if len(given) == 1:
        run(given[0])
    else:
        with ThreadPoolExecutor(len(given)) as threads:
            list(threads.map(run, given))
    after = meter.reading()
    return _Took(
        time.monotonic() - started,
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
    )


def _prompt(cascade: Cascade, node: str, record: RecordedRun) -> int:
    messages = rendered(cascade, node, cascade.base_candidate(node), record.inputs.get(node, {}))
    return characters(messages or [])


def _recorded(node: str, record: RecordedRun) -> int:
    return len(canonical_json(record.outputs.get(node, {})))
