"""Stage 45: what one output is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade_operator.traces.validated import Leaf, closest, leaves


@dataclass(frozen=True, slots=True)
class Pair:
    """What one output is compared with.

    Attributes:
        record_id: Names the record in messages.
        expected: The validated fields, whose leaves may accept several values, or a recorded
            output.
        output: What the cascade wrote, restricted to the expected fields.
        template: Whether ``expected`` may hold ``anyOf`` leaves; recorded outputs are plain.
    """

    record_id: str
    expected: Any
    output: Any
    template: bool = True

    @property
    def resolved(self) -> Any:
        """The accepted values nearest to the output, as plain JSON."""
        return closest(self.expected, self.output) if self.template else self.expected

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every expected leaf."""
        return leaves(self.expected) if self.template else _plain_leaves(self.expected)


def _plain_leaves(value: Any, path: tuple[str | int, ...] = ()) -> tuple[Leaf, ...]:
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list | tuple):
        children = list(enumerate(value))
    if not children:
        return (Leaf(path, (value,)),)
    return tuple(leaf for key, child in children for leaf in _plain_leaves(child, (*path, key)))
