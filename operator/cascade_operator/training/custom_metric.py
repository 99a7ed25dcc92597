"""Stage 45, metric Custom: a function of the session's image, never code from data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from cascade_operator.agents.entrypoint import EntrypointError, import_entrypoint
from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.training.comparison import Pair

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_custom(reference: str) -> Callable[[Sequence[Pair]], list[float]]:
    """Loads ``package:attr`` as a metric.

    The function is called with the expected fields (plain JSON, the accepted values nearest to
    the output) and the output's fields, and returns a number in [0, 1] or a bool.

    Raises:
        SpecError: It cannot be imported or called.
    """
    function = _load(reference)

    def compare(pairs: Sequence[Pair]) -> list[float]:
        return [_call(reference, function, pair) for pair in pairs]

    return compare


def _load(reference: str) -> Callable[[Any, Any], Any]:
    if not _REFERENCE.fullmatch(reference):
        raise _spec_error(reference, "is not of the form package:attr")
    try:
        found = import_entrypoint(reference)
    except EntrypointError as error:
        raise _spec_error(reference, str(error)) from error
    if not callable(found):
        raise _spec_error(reference, "is not a function")
    return found  # type: ignore[no-any-return]


def _call(reference: str, function: Callable[[Any, Any], Any], pair: Pair) -> float:
    try:
        value = function(pair.resolved, pair.output)
    except Exception as error:  # the image's code met our data: the run cannot score with it
        raise DataError(
            f"{reference} raised {type(error).__name__} on record {pair.record_id}: {error}",
            mend="A metric must score every output, also an incomplete one.",
        ) from error
    if isinstance(value, bool):
        return float(value)
    number = _number(value)
    if number is None or not 0.0 <= number <= 1.0:
        raise DataError(
            f"{reference} returned {str(value)[:100]!r} on record {pair.record_id}",
            mend="A metric returns a bool or a finite number from 0 to 1.",
        )
    return number


def _number(value: Any) -> float | None:
    """Returns a number as float; numpy's scalars are numbers, strings and None are not."""
    if isinstance(value, str | bytes) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _spec_error(reference: str, what: str) -> SpecError:
    return SpecError(
        f"objective.function {reference[:200]!r} {what}",
        mend="Use an image that holds the function, named as package:attr.",
    )
