"""How long prompts and answers are: rendered as a Job renders them, on records of the traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.modules import apply_candidate, build_module, is_own_module
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import CascadeError
from cascade_operator.training.pool import CandidatePool

SAMPLE: Final = 8
"""Records whose prompts are rendered."""
REASONING_CHARACTERS: Final = 200
"""What a chain-of-thought node is taken to write before its fields."""


class RecordedRun(Protocol):
    """What is read of a record."""

    @property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102 - described by the class

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class NodePrompts:
    """One node's prompts and answers, in characters.

    Attributes:
        prompts: Mean length by candidate; empty for a node that asks no model.
        longest: By candidate, on the record with the longest prompt.
        answer: Mean length of what the traces say it wrote.
        longest_answer: The longest.
    """

    prompts: tuple[float, ...]
    longest: tuple[float, ...]
    answer: float
    longest_answer: float

    @property
    def asks(self) -> bool:
        """Whether the node asks a model: the session's own module may be plain code."""
        return bool(self.prompts)


def prompts_of(
    cascade: Cascade, pool: CandidatePool, records: Sequence[RecordedRun]
) -> tuple[NodePrompts, ...]:
    """Renders each candidate of each node on recorded inputs; makes no call.

    The declared program is rendered on up to eight records, each other candidate on the first.

    Args:
        cascade: The cascade, bound to its models.
        pool: The candidates.
        records: Records to render; of any split.
    """
    sample = records[:SAMPLE]
    return tuple(_of_node(cascade, name, pool.candidates[name], sample) for name in pool.candidates)


def rendered(
    cascade: Cascade, name: str, candidate: Candidate, fields: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Returns the messages a node sends; None where it has no predictor that writes its outputs.

    Raises:
        DataError: A field it reads is missing.
    """
    runtime = cascade.runtime(name)
    module = build_module(runtime.spec, runtime.fields)
    apply_candidate(module, candidate, runtime.fields)
    wanted = set(runtime.fields.outputs.values())
    for _, predictor in module.named_predictors():
        if wanted <= set(predictor.signature.output_fields):
            inputs = runtime.inputs_from(fields)
            messages: list[dict[str, Any]] = runtime.adapter.format(
                predictor.signature, predictor.demos, inputs
            )
            return messages
    return None


def characters(messages: Sequence[Mapping[str, Any]]) -> int:
    """Characters of messages, their roles left out."""
    return sum(len(str(message.get("content", ""))) for message in messages)


def _of_node(
    cascade: Cascade, name: str, candidates: Sequence[Candidate], sample: Sequence[RecordedRun]
) -> NodePrompts:
    runtime = cascade.runtime(name)
    reasons = REASONING_CHARACTERS if str(runtime.spec.module) == "ChainOfThought" else 0
    answers = [len(canonical_json(one.outputs.get(name, {}))) + reasons for one in sample] or [0]
    answer, longest_answer = sum(answers) / len(answers), max(answers)
    base, first = [], None
    for record in sample:
        found = _length(cascade, name, candidates[0], record)
        if found is not None:
            base.append(found)
            first = first or record
    if first is None:
        # Nothing to render: either it is plain code, or the records lack what it reads.
        asks = not is_own_module(runtime.spec)
        blank = (0.0,) * len(candidates) if asks else ()
        return NodePrompts(blank, blank, answer, longest_answer)
    mean, longest = sum(base) / len(base), max(base)
    more = [
        (_length(cascade, name, candidate, first) or base[0]) - base[0] for candidate in candidates
    ]
    return NodePrompts(
        tuple(max(0.0, mean + one) for one in more),
        tuple(max(0.0, longest + one) for one in more),
        answer,
        longest_answer,
    )


def _length(cascade: Cascade, name: str, candidate: Candidate, record: RecordedRun) -> float | None:
    try:
        messages = rendered(cascade, name, candidate, record.inputs.get(name, {}))
    except CascadeError:  # the record lacks a field; another one has it
        return None
    return None if messages is None else float(characters(messages))
