"""What servers showed of their speed, and what a call takes then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cascade_operator.api.models_spec import ModelSpec
from cascade_operator.training.calls.budget import Price
from cascade_operator.training.estimate.prompts import NodePrompts
from cascade_operator.training.estimate.purse import CallSize

CHARACTERS_PER_TOKEN: Final = 4.0
READING: Final = 0.1
"""Time that a token of a prompt takes, as a share of one that is written."""
UNKNOWN_EXPONENT: Final = 0.5
"""Where nobody measured what calls at once gain: four times as many, twice the answers."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What some calls showed.

    Attributes:
        characters_per_token: Of prompts.
        answer_factor: Tokens received over those that the traces' answers would have.
        seconds: Of one call alone; None where no server was asked.
        input: Tokens sent in a call that took so long.
        output: Tokens received.
        gain: What two calls at once gain over one, 1 to 2; None where nobody measured it.
    """

    characters_per_token: float = CHARACTERS_PER_TOKEN
    answer_factor: float = 1.0
    seconds: float | None = None
    input: float = 0.0
    output: float = 0.0
    gain: float | None = None

    def of(self, size: CallSize) -> float:
        """Returns the seconds of a call of this size; 0 where no server was asked."""
        known = READING * self.input + self.output
        if self.seconds is None or known <= 0:
            return self.seconds or 0.0
        return self.seconds * (READING * size.input + size.output) / known

    def answer_tokens(self, characters: float, model: ModelSpec) -> float:
        """Returns the tokens of an answer that the traces show with so many characters."""
        tokens = characters / CHARACTERS_PER_TOKEN * self.answer_factor
        return min(float(model.max_tokens), max(1.0, tokens))


def call_sizes(
    prompts: Sequence[NodePrompts], models: Sequence[ModelSpec], speed: Speed
) -> tuple[tuple[CallSize, ...], ...]:
    """Returns what a call takes on average: by node, then by candidate."""
    return tuple(
        tuple(
            CallSize(
                length / speed.characters_per_token,
                speed.answer_tokens(node.answer, model),
                price_of(model),
            )
            for length in node.prompts
        )
        for node, model in zip(prompts, models, strict=True)
    )


def longest_sizes(
    prompts: Sequence[NodePrompts], models: Sequence[ModelSpec], speed: Speed
) -> tuple[CallSize, ...]:
    """Returns what the longest call of each node takes, as far as the sample shows."""
    return tuple(
        CallSize(
            max(node.longest, default=0.0) / speed.characters_per_token,
            speed.answer_tokens(node.longest_answer, model),
            price_of(model),
        )
        for node, model in zip(prompts, models, strict=True)
    )


def price_of(model: ModelSpec) -> Price:
    """Returns a model's price; nothing where the session names none."""
    price = model.price
    return Price(price.input_per_million, price.output_per_million) if price else Price()
