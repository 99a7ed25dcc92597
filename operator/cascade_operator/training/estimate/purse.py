"""What a simulated run may spend, and what it has spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.budget import Price

Calls = dict[tuple[int, int], float]
"""(node position, candidate) -> model calls; a fraction where some records stand for others."""


def add_calls(calls: Calls, more: Mapping[tuple[int, int], float], times: float = 1.0) -> None:
    """Adds calls to others, in place."""
    for node, number in more.items():
        calls[node] = calls.get(node, 0.0) + number * times


@dataclass(frozen=True, slots=True)
class CallSize:
    """What one call takes, on average.

    Attributes:
        input: Tokens sent.
        output: Tokens received.
        price: What they cost.
    """

    input: float = 0.0
    output: float = 0.0
    price: Price = Price()  # noqa: RUF009 (frozen)

    @property
    def tokens(self) -> float:
        """Tokens in and out."""
        return self.input + self.output

    @property
    def cost(self) -> float:
        """Money, in the unit of the price."""
        return (self.input * self.price.input + self.output * self.price.output) / 1e6


@dataclass(slots=True)
class Purse:
    """Counts what is spent against a run's budget.

    Attributes:
        sizes: For each node, what a call takes by candidate.
        calls: Model calls that are left; None for no limit.
        tokens: Tokens that are left.
        cost: Money that is left.
    """

    sizes: Sequence[Sequence[CallSize]]
    calls: float | None = None
    tokens: float | None = None
    cost: float | None = None

    def pay(self, took: Calls) -> StopReason | None:
        """Takes calls out; returns why the run stops where they were more than was left.

        Args:
            took: The calls; cut down to what could be made.
        """
        if self.calls is not None:
            wanted = sum(took.values())
            if wanted > self.calls:
                for node in took:
                    took[node] *= self.calls / wanted
            self.calls -= min(wanted, self.calls)
            if wanted and self.calls <= 0:
                return StopReason.CALL_BUDGET
        for node, calls in took.items():
            size = self.sizes[node[0]][node[1]]
            if self.tokens is not None:
                self.tokens -= calls * size.tokens
            if self.cost is not None:
                self.cost -= calls * size.cost
        spent = (self.tokens is not None and self.tokens <= 0) or (
            self.cost is not None and self.cost <= 0
        )
        return StopReason.TOKEN_BUDGET if spent and took else None
