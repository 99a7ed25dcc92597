"""The session's budget of calls, tokens and money, counted by all of its Jobs together."""

from __future__ import annotations

import threading
from dataclasses import astuple, dataclass
from typing import Any, Final

import redis

from cascade_operator.api.errors import CascadeError, ServiceUnavailable
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.redis_mends import redis_mend
from cascade_operator.api.status import StopReason

MICROS: Final = 1_000_000
"""Money is counted in millionths: Redis adds integers exactly."""

_TIME_TO_LIVE: Final = 14 * 24 * 3600
"""Seconds; renewed by each call, as all of a run's keys are."""

_NAMES: Final = ("calls", "tokens", "cost")

_RAISE: Final = (
    "local v = tonumber(redis.call('GET', KEYS[1]) or '0') "
    "if v < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end return 1"
)


class BudgetExceeded(CascadeError):  # noqa: N818 (nothing has failed)
    """No further call is allowed. The search ends with a result; nothing has failed.

    Attributes:
        stop_reason: ``CallBudget``, or ``TokenBudget`` for tokens and cost.
    """

    exit_code = ExitCode.OK
    reason = "BudgetExceeded"

    def __init__(self, stop_reason: StopReason, message: str) -> None:
        super().__init__(message)
        self.stop_reason = stop_reason


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What may be spent in a run; None is no limit.

    Attributes:
        calls: Calls that reach a server.
        tokens: Tokens in and out.
        cost: Money, in the unit of the models' prices.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs for a million tokens, in and out."""

    input: float = 0.0
    output: float = 0.0

    def micros(self, input_tokens: int, output_tokens: int) -> int:
        """Returns the price of one call in millionths."""
        return round(input_tokens * self.input + output_tokens * self.output)


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent so far."""

    calls: int = 0
    tokens: int = 0
    cost_micros: int = 0

    @property
    def cost(self) -> float:
        """Money, in the unit of the models' prices."""
        return self.cost_micros / MICROS


class BudgetCounters:
    """Adds up what all Jobs of a run spend, and refuses the call that would go beyond.

    Calls are reserved before they are made, so that their number is exact. Tokens and cost are
    known afterwards: the Jobs together exceed them by the calls under way at most.

    Args:
        client: Redis (bytes in and out), or None to count in this process alone.
        keys: The run's keys.
        limits: What may be spent.
    """

    def __init__(self, client: Any | None, keys: RunKeys, limits: BudgetLimits) -> None:
        self._client = client
        self._keys = [keys.counter(name) for name in _NAMES]
        self._limits = limits
        self._own = Spent()
        self._lock = threading.Lock()

    def spent(self) -> Spent:
        """Returns what was spent so far, by all Jobs.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        if self._client is None:
            with self._lock:
                return self._own
        found = self._ask(lambda client: client.mget(self._keys))
        return Spent(*(_number(value) for value in found))

    def restore(self, spent: Spent) -> None:
        """Raises the counters to at least this: what the status knew before Redis was lost."""
        if self._client is None:
            with self._lock:
                own = self._own
                self._own = Spent(
                    max(own.calls, spent.calls),
                    max(own.tokens, spent.tokens),
                    max(own.cost_micros, spent.cost_micros),
                )
            return

        def raise_all(client: Any) -> None:
            for key, value in zip(self._keys, astuple(spent), strict=True):
                client.eval(_RAISE, 1, key, value, _TIME_TO_LIVE)

        self._ask(raise_all)

    def reserve_call(self) -> None:
        """Counts one call that is about to be made.

        Raises:
            BudgetExceeded: It would be one too many, or tokens or cost are used up.
            ServiceUnavailable: Redis does not answer; a budget is not guessed.
        """
        spent = self._add(1, 0, 0)
        limits = self._limits
        if limits.calls is not None and spent.calls > limits.calls:
            self._add(-1, 0, 0)
            raise BudgetExceeded(
                StopReason.CALL_BUDGET, f"the budget of {limits.calls} model calls is used up"
            )
        used_up = ""
        if limits.tokens is not None and spent.tokens >= limits.tokens:
            used_up = f"the budget of {limits.tokens} tokens is used up"
        elif limits.cost is not None and spent.cost_micros >= limits.cost * MICROS:
            used_up = f"the budget of {limits.cost:g} is used up"
        if used_up:
            self._add(-1, 0, 0)
            raise BudgetExceeded(StopReason.TOKEN_BUDGET, used_up)

    def return_call(self) -> None:
        """Takes a reservation back: the server never answered."""
        self._add(-1, 0, 0)

    def add_tokens(self, input_tokens: int, output_tokens: int, price: Price) -> None:
        """Counts what a call took."""
        self._add(0, input_tokens + output_tokens, price.micros(input_tokens, output_tokens))

    def _add(self, calls: int, tokens: int, micros: int) -> Spent:
        if self._client is None:
            with self._lock:
                own = self._own
                self._own = Spent(own.calls + calls, own.tokens + tokens, own.cost_micros + micros)
                return self._own

        def add(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=True)
            for key, by in zip(self._keys, (calls, tokens, micros), strict=True):
                pipeline.incrby(key, by)
            for key in self._keys:
                pipeline.expire(key, _TIME_TO_LIVE)
            return list(pipeline.execute()[:3])

        return Spent(*(_number(value) for value in self._ask(add)))

    def _ask(self, use: Any) -> Any:
        try:
            return use(self._client)
        except redis.RedisError as error:
            raise ServiceUnavailable(
                f"Redis does not count the budget: {error}",
                mend=redis_mend(error),
            ) from error


def _number(value: Any) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0
