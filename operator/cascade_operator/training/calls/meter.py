"""What this process asked of models, and what it was spared."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from cascade_operator.api.calls import CallFigures


@dataclass(frozen=True, slots=True)
class MeterReading:
    """Sums since the process started.

    Attributes:
        model_calls: Calls that reached a server and came back.
        cache_hits: Calls answered by the cache.
        waits: Of these, calls that waited for another's answer.
        memory_hits: Calls answered by what the process still knew of a node.
        saved: Tokens (in and out) that both kinds of hits would have cost.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        parse_failures: Answers that could not be read.
        truncated: Answers cut off at their token limit.
        overflows: Prompts longer than the model's context.
        server_errors: Requests that brought no answer: refused, failed, timed out, or left
            behind by a Job that had to stop; those that a later one made good among them.
        seconds: Time spent waiting for servers, over all threads.
    """

    model_calls: int = 0
    cache_hits: int = 0
    waits: int = 0
    memory_hits: int = 0
    saved: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    parse_failures: int = 0
    truncated: int = 0
    overflows: int = 0
    server_errors: int = 0
    seconds: float = 0.0

    def figures(self) -> CallFigures:
        """Returns the part that results and status carry."""
        return CallFigures(
            model_calls=self.model_calls,
            cache_hits=self.cache_hits,
            waits=self.waits,
            memory_hits=self.memory_hits,
            failed_attempts=self.server_errors,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            saved_tokens=self.saved,
            parse_failures=self.parse_failures,
        )


class CallMeter:
    """Counts; safe to use from several threads."""

    def __init__(self) -> None:
        self._reading = MeterReading()
        self._lock = threading.Lock()

    def reading(self) -> MeterReading:
        """Returns the sums so far."""
        with self._lock:
            return self._reading

    def figures(self) -> CallFigures:
        """Returns the sums so far, as records carry them."""
        return self.reading().figures()

    def called(self, seconds: float, input_tokens: int, output_tokens: int) -> None:
        """Counts a call that a server answered."""
        self._add(
            model_calls=1, seconds=seconds, input_tokens=input_tokens, output_tokens=output_tokens
        )

    def hit(self, tokens: int, *, waited: bool) -> None:
        """Counts a call that the cache answered, sparing so many tokens."""
        self._add(cache_hits=1, waits=int(waited), saved=tokens)

    def remembered(self, calls: int, tokens: int) -> None:
        """Counts calls that a kept node outcome spared, and their tokens."""
        self._add(memory_hits=calls, saved=tokens)

    def parse_failed(self) -> None:
        """Counts an answer that could not be read (called by the evaluator)."""
        self._add(parse_failures=1)

    def truncated(self) -> None:
        """Counts an answer cut off at its token limit."""
        self._add(truncated=1)

    def overflowed(self) -> None:
        """Counts a prompt longer than the model's context."""
        self._add(overflows=1)

    def server_failed(self) -> None:
        """Counts a failed attempt."""
        self._add(server_errors=1)

    def _add(self, **more: float) -> None:
        with self._lock:
            old = self._reading
            self._reading = replace(
                old, **{name: getattr(old, name) + by for name, by in more.items()}
            )
