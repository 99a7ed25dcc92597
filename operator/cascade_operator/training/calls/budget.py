"""The session's budget of calls, tokens and money, counted by all of its Jobs together."""

from __future__ import annotations

import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

import redis

from cascade_operator.api.errors import CascadeError, ServiceUnavailable
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.redis_mends import redis_mend
from cascade_operator.api.status import StopReason
from cascade_operator.training.calls.job_figures import FIGURES_TTL, JobFigures
from cascade_operator.training.calls.lease import Command

MICROS: Final = 1_000_000
"""Money is counted in millionths: Redis adds integers exactly."""

_NAMES: Final = ("calls", "tokens", "cost")

# Keys: calls, tokens, cost, and the Job's own figures where there are any. Arguments: the time to
# live, what to add to the first three, then name and number of each figure.
_ADD: Final = (
    "local sums = {} for i = 1, 3 do "
    "sums[i] = redis.call('INCRBY', KEYS[i], ARGV[i + 1]) "
    "redis.call('EXPIRE', KEYS[i], ARGV[1]) end "
    "for i = 5, #ARGV, 2 do redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1]) end "
    "if #ARGV > 4 then redis.call('EXPIRE', KEYS[4], ARGV[1]) end return sums"
)
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

    def plus(self, other: Spent) -> Spent:
        """Returns the sum of both."""
        return Spent(*map(operator.add, astuple(self), astuple(other)))

    def negative(self) -> Spent:
        """Returns what takes this back."""
        return Spent(*map(operator.neg, astuple(self)))

    @property
    def cost(self) -> float:
        """Money, in the unit of the models' prices."""
        return self.cost_micros / MICROS


@dataclass(frozen=True, slots=True)
class Addition:
    """What goes into the counters in one command.

    Attributes:
        command: Redis's.
        spent: What it adds to the run's counters.
        figures: What it adds to the Job's.
    """

    command: Command
    spent: Spent
    figures: Mapping[str, int]


class BudgetCounters:
    """Adds up what all Jobs of a run spend, and refuses the call that would go beyond.

    Where something is limited, calls are reserved before they are made, so that their number is
    exact. Tokens and cost are known afterwards: the Jobs together exceed them by the calls under
    way at most. Without limits a call is counted with its tokens, in the round trip that publishes
    its answer; what Redis does not take then is added the next time.

    Args:
        client: Redis (bytes in and out), or None to count in this process alone.
        keys: The run's keys.
        limits: What may be spent.
        job: The Job's own figures, kept with the counters.
    """

    def __init__(
        self,
        client: Any | None,
        keys: RunKeys,
        limits: BudgetLimits,
        job: JobFigures | None = None,
    ) -> None:
        self._client = client
        self._keys = [keys.counter(name) for name in _NAMES]
        self._limits = limits
        self._reserves = limits != BudgetLimits()
        self._job = job
        self._own = Spent()
        self._waiting = Spent()
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
                client.eval(_RAISE, 1, key, value, FIGURES_TTL)

        self._ask(raise_all)

    def reserve_call(self) -> None:
        """Counts one call that is about to be made.

        Raises:
            BudgetExceeded: It would be one too many, or tokens or cost are used up.
            ServiceUnavailable: Redis does not answer; a budget is not guessed.
        """
        if not self._reserves:
            return
        spent = self._add(Spent(1))
        limits = self._limits
        if limits.calls is not None and spent.calls > limits.calls:
            self._add(Spent(-1))
            raise BudgetExceeded(
                StopReason.CALL_BUDGET, f"the budget of {limits.calls} model calls is used up"
            )
        used_up = ""
        if limits.tokens is not None and spent.tokens >= limits.tokens:
            used_up = f"the budget of {limits.tokens} tokens is used up"
        elif limits.cost is not None and spent.cost_micros >= limits.cost * MICROS:
            used_up = f"the budget of {limits.cost:g} is used up"
        if used_up:
            self._add(Spent(-1))
            raise BudgetExceeded(StopReason.TOKEN_BUDGET, used_up)

    def return_call(self) -> None:
        """Takes a reservation back: the server never answered."""
        if self._reserves:
            self._add(Spent(-1))

    def settlement(self) -> Settlement:
        """Returns what is to be counted once the call that was reserved has been answered."""
        return Settlement(self, 0 if self._reserves else 1)

    def adding(self, spent: Spent) -> Addition:
        """Returns how Redis adds this, and with it what waits and the Job's figures."""
        with self._lock:
            waiting, self._waiting = self._waiting, Spent()
        spent = spent.plus(waiting)
        figures = {} if self._job is None else self._job.take()
        keys = [*self._keys, *([self._job.key] if self._job is not None and figures else [])]
        pairs = [part for pair in figures.items() for part in pair]
        command = ("EVAL", _ADD, len(keys), *keys, FIGURES_TTL, *astuple(spent), *pairs)
        return Addition(command, spent, figures)

    def not_added(self, addition: Addition) -> None:
        """Adds what did not go with a publication.

        Raises:
            ServiceUnavailable: Redis does not count it, and something is limited.
        """
        self._give_back(addition)
        if self._reserves or self._client is None:
            self._add(Spent())

    def _give_back(self, addition: Addition) -> None:
        if self._job is not None:
            self._job.give_back(addition.figures)
        with self._lock:
            self._waiting = self._waiting.plus(addition.spent)

    def _add(self, spent: Spent) -> Spent:
        if self._client is None:
            with self._lock:
                self._own = self._own.plus(spent).plus(self._waiting)
                self._waiting = Spent()
                return self._own
        addition = self.adding(spent)
        try:
            found = self._ask(lambda client: client.execute_command(*addition.command))
        except ServiceUnavailable:
            self._give_back(replace(addition, spent=addition.spent.plus(spent.negative())))
            raise
        return Spent(*(_number(value) for value in found))

    def _ask(self, use: Any) -> Any:
        try:
            return use(self._client)
        except redis.RedisError as error:
            raise ServiceUnavailable(
                f"Redis does not count the budget: {error}",
                mend=redis_mend(error),
            ) from error


class Settlement:
    """What an answered call took, on its way into the counters with the answer's publication."""

    def __init__(self, counters: BudgetCounters, calls: int) -> None:
        self._counters = counters
        self._spent = Spent(calls)
        self._addition: Addition | None = None

    def took(self, input_tokens: int, output_tokens: int, price: Price) -> None:
        """Says what the call took."""
        micros = price.micros(input_tokens, output_tokens)
        self._spent = Spent(self._spent.calls, input_tokens + output_tokens, micros)

    def commands(self) -> Sequence[Command]:
        """See call_cache.Along."""
        self._addition = self._counters.adding(self._spent)
        return [self._addition.command]

    def sent(self, answers: Sequence[Any]) -> None:
        """See call_cache.Along.

        Raises:
            ServiceUnavailable: Redis does not count it, and something is limited.
        """
        counted = bool(answers) and not isinstance(answers[0], Exception)
        if self._addition is not None and not counted:
            self._counters.not_added(self._addition)


def _number(value: Any) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0
