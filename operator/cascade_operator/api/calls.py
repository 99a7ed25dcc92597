"""What a Job's model calls came to: the one count that results, status and command line show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import Field

from cascade_operator.api.base import RecordModel

_MOST: Final = 10**15
Count = Annotated[int, Field(ge=0, le=_MOST)]


class CallFigures(RecordModel):
    """What model calls cost and what was spared, over all attempts of a Job.

    A logical call is one that a program asked for. It is answered by a server (``modelCalls``), by
    the shared cache (``cacheHits``, which holds the waits) or by what the process still knew of the
    node (``memoryHits``); so ``logicalCalls = modelCalls + savedCalls``. Two things are counted
    apart: a request that brought no answer (``failedAttempts``; the chat requests a server sees are
    ``modelCalls + failedAttempts``) and embeddings, which are not counted at all.
    """

    model_calls: Count = Field(0, description="Calls that a server answered.")
    cache_hits: Count = Field(0, description="Calls answered from the shared cache.")
    waits: Count = Field(0, description="Of these, calls that waited for another's answer.")
    memory_hits: Count = Field(
        0, description="Calls answered by what the process still knew of a node."
    )
    failed_attempts: Count = Field(0, description="Requests that brought no answer.")
    input_tokens: Count = Field(0, description="Tokens sent.")
    output_tokens: Count = Field(0, description="Tokens received.")
    saved_tokens: Count = Field(0, description="Tokens that the saved calls would have taken.")
    parse_failures: Count = Field(0, description="Answers that did not parse.")

    @property
    def saved_calls(self) -> int:
        """Calls that no server had to answer."""
        return self.cache_hits + self.memory_hits

    @property
    def logical_calls(self) -> int:
        """Calls that programs asked for."""
        return self.model_calls + self.saved_calls

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: CallFigures) -> CallFigures:
        """Returns the sum of both, within the most that a count may be.

        What Jobs say of themselves is not to be trusted: no sum of it may fail.
        """
        return _combined(self, other, int.__add__)

    def at_least(self, other: CallFigures) -> CallFigures:
        """Returns the larger of each count: what was once counted stays counted."""
        return _combined(self, other, max)


def _combined(
    one: CallFigures, other: CallFigures, combine: Callable[[int, int], int]
) -> CallFigures:
    names = CallFigures.model_fields
    counts = {n: combine(getattr(one, n), getattr(other, n)) for n in names}
    return CallFigures(**{n: min(count, _MOST) for n, count in counts.items()})
