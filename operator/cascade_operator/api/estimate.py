"""What a run will take, said before it is spent: ``65_estimate.json`` and ``cascade plan``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from cascade_operator.api.base import RecordModel
from cascade_operator.api.calls import Count
from cascade_operator.api.records import Key, Short, SplitCounts
from cascade_operator.api.status import StopReason

MAX_BYTES: Final = 1 << 20
NodeKey = Annotated[str, Field(max_length=63)]
Seconds = Annotated[float, Field(ge=0, le=10**12)]
Money = Annotated[float, Field(ge=0, le=10**15)]


class CountRange(RecordModel):
    """A count that is expected, and one that is not exceeded."""

    likely: Count = Field(0, description="What is expected.")
    at_most: Count = Field(0, description="What is not exceeded while the shared cache holds.")


class GroupEstimate(RecordModel):
    """What one group's search will take. Calls that groups share count where they come first."""

    model_calls: CountRange = Field(
        default_factory=CountRange,
        description="Calls that reach a server; the groups' `atMost` add up to more than the "
        "run's, since each stands for the group alone.",
    )
    logical_calls: Count = Field(0, description="Node runs, answered by a server or a cache.")
    trials: Count = Field(0, description="Programs scored, the repeated ones among them.")
    tokens: Count = Field(0, description="Tokens in and out, as expected.")
    seconds: Seconds | None = Field(None, description="Time of its Job; absent without a speed.")
    reason: StopReason = Field(StopReason.MAX_TRIALS, description="Why it will stop.")
    cut_calls: Count = Field(0, description="Model calls that a budget keeps it from.")


class EstimateBasis(RecordModel):
    """What an estimate was made from."""

    split: SplitCounts = Field(default_factory=SplitCounts, description="Records by split.")
    candidates: dict[NodeKey, Count] = Field(
        default_factory=dict, max_length=6, description="Candidates by node."
    )
    prepare_calls: CountRange = Field(
        default_factory=CountRange,
        description="Model calls of prepare, a part of the run's: proposals, base runs, probes. "
        "In `65_estimate.json` they are made and counted.",
    )
    agreement: dict[NodeKey, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        max_length=6,
        description="How often a node is taken to answer alike where its prompt differs.",
    )
    input_tokens_per_call: Seconds = Field(0.0, description="Mean of the expected calls.")
    output_tokens_per_call: Seconds = Field(0.0, description="Likewise.")
    characters_per_token: Annotated[float, Field(gt=0, le=1000)] = Field(
        4.0, description="Of prompts: measured where the server was asked, else 4."
    )
    seconds_per_call: Seconds | None = Field(
        None, description="Of one call alone; absent where no server was asked."
    )
    parallel_gain: Annotated[float, Field(ge=1, le=2)] | None = Field(
        None, description="Answers a second from two calls at once, over those from one."
    )
    parallelism: Count = Field(1, description="Jobs at once.")
    parallel_calls: Count = Field(1, description="Calls in flight of one Job.")
    notes: list[Short] = Field(
        default_factory=list, max_length=32, description="What it assumes, for a reader."
    )


class RunEstimate(RecordModel):
    """What a run will take: the document ``65_estimate.json``."""

    version: Literal[1] = 1
    model_calls: CountRange = Field(
        default_factory=CountRange, description="Calls that reach a server, prepare's among them."
    )
    logical_calls: Count = Field(0, description="Node runs, answered by a server or a cache.")
    tokens: CountRange = Field(default_factory=CountRange, description="Tokens in and out.")
    input_tokens: Count = Field(0, description="Of the expected tokens, those sent.")
    output_tokens: Count = Field(0, description="Of the expected tokens, those received.")
    embedding_requests: Count = Field(0, description="Requests to the embedding server.")
    cost: Money | None = Field(None, description="Expected cost; absent without prices.")
    seconds: Seconds | None = Field(
        None, description="From start to end; absent where no server's speed is known."
    )
    groups: dict[Key, GroupEstimate] = Field(
        default_factory=dict, max_length=63, description="By key; prepare is not among them."
    )
    peak_memory: Count = Field(
        0, description="Bytes that the Jobs which run at once are expected to use."
    )
    cut_calls: Count = Field(0, description="Model calls that the budget keeps the run from.")
    basis: EstimateBasis = Field(default_factory=EstimateBasis, description="Made from this.")


def read_estimate(data: bytes | None) -> RunEstimate | None:
    """Reads a document as hostile: None where there is none, or none of this form."""
    if not data or len(data) > MAX_BYTES:
        return None
    try:
        return RunEstimate.model_validate_json(data)
    except (ValidationError, ValueError, RecursionError):
        return None


def compared(estimated: int, actual: int, what: str = "model calls") -> str:
    """Says how far an estimate was off: ``estimated 150 model calls, took 153 (+2 %)``."""
    if estimated == actual:
        off = "exact"
    elif estimated:
        off = f"{100 * (actual - estimated) / estimated:+.0f} %"
    else:
        off = "none expected"
    return f"estimated {estimated} {what}, took {actual} ({off})"
