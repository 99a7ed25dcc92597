"""Candidates: the instructions and demonstrations one node may run with, as plain JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

from cascade_operator.agents.jsonvalues import plain
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import DataError

Source = Literal["base", "proposed", "bootstrapped", "archived", "labeled"]
"""Where a candidate comes from."""

MAX_INSTRUCTIONS: Final = 16_384
"""Characters."""
MAX_DEMONSTRATIONS: Final = 32
MAX_DEMONSTRATION: Final = 131_072
"""Characters of one demonstration's JSON."""
MAX_RECORD_ID: Final = 512


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One worked example in a prompt.

    Attributes:
        record_id: The training record it was taken from; None when nobody knows.
        inputs: Field name -> JSON value.
        outputs: Field name -> JSON value; may hold ``reasoning`` for a chain-of-thought node.
    """

    record_id: str | None
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def __post_init__(self) -> None:
        # Models write half characters too; nothing that is sent or stored may hold one.
        object.__setattr__(self, "inputs", plain(dict(self.inputs)))
        object.__setattr__(self, "outputs", plain(dict(self.outputs)))

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON."""
        return {
            "recordId": self.record_id,
            "inputs": dict(self.inputs),
            "outputs": dict(self.outputs),
        }

    @classmethod
    def from_json(cls, value: Any) -> Demonstration:
        """Reads one that came from Redis or an archive, which may hold anything.

        Raises:
            DataError: It is not a demonstration, or too large.
        """
        _keys(value, "demonstration", {"recordId", "inputs", "outputs"})
        record_id, inputs, outputs = value["recordId"], value["inputs"], value["outputs"]
        if record_id is not None and not _text(record_id, MAX_RECORD_ID):
            raise _broken("a demonstration's recordId is no short string")
        if not _fields(inputs) or not _fields(outputs):
            raise _broken("a demonstration's inputs and outputs are no JSON objects")
        if _length({"i": inputs, "o": outputs}) > MAX_DEMONSTRATION:
            raise _broken(f"a demonstration is larger than {MAX_DEMONSTRATION} characters")
        return cls(record_id, inputs, outputs)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one node runs with.

    Attributes:
        instructions: The task description in the prompt; empty means DSPy's default sentence.
        demonstrations: Worked examples, in prompt order.
        source: Where it comes from.
        digest: SHA-256 (hex) of instructions and demonstrations: equal programs have equal ones.
    """

    instructions: str
    demonstrations: tuple[Demonstration, ...] = ()
    source: Source = "base"
    digest: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instructions", plain(self.instructions))
        body = {
            "instructions": self.instructions,
            "demonstrations": [[d.inputs, d.outputs] for d in self.demonstrations],
        }
        digest = hashlib.sha256(canonical_json(body).encode("utf-8")).hexdigest()
        object.__setattr__(self, "digest", digest)

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON."""
        return {
            "instructions": self.instructions,
            "demonstrations": [one.to_json() for one in self.demonstrations],
            "source": self.source,
        }

    @classmethod
    def from_json(cls, value: Any) -> Candidate:
        """Reads one that came from Redis or an archive, which may hold anything.

        Raises:
            DataError: It is not a candidate, or too large.
        """
        _keys(value, "candidate", {"instructions", "demonstrations", "source"})
        if not _text(value["instructions"], MAX_INSTRUCTIONS):
            raise _broken(f"a candidate's instructions are no text of {MAX_INSTRUCTIONS} at most")
        demonstrations = value["demonstrations"]
        if not isinstance(demonstrations, list) or len(demonstrations) > MAX_DEMONSTRATIONS:
            raise _broken(
                f"a candidate's demonstrations are no list of {MAX_DEMONSTRATIONS} at most"
            )
        if value["source"] not in get_args(Source):
            raise _broken(f"a candidate's source is none of {', '.join(get_args(Source))}")
        return cls(
            value["instructions"],
            tuple(Demonstration.from_json(one) for one in demonstrations),
            cast("Source", value["source"]),
        )


def _keys(value: Any, what: str, expected: set[str]) -> None:
    if not isinstance(value, dict) or set(value) != expected:
        raise _broken(f"a {what} is no object with the fields {', '.join(sorted(expected))}")


def _text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit


def _fields(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _length(value: Any) -> int:
    try:
        return len(canonical_json(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise _broken("a demonstration holds values that are no JSON") from error


def _broken(message: str) -> DataError:
    return DataError(message, mend="Start a run with warmStart.policy None, or restore the file.")
