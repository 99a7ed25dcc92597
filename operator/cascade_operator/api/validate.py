"""Says of a session everything that is wrong with it, field by field, and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cascade_operator.api.base import API_VERSION, KIND
from cascade_operator.api.errors import SpecError
from cascade_operator.api.manifest import read_manifest
from cascade_operator.api.plain_json import check_plain_json
from cascade_operator.api.problem import Problem, problems_of, show
from cascade_operator.api.semantics import semantic_problems
from cascade_operator.api.session import TrainingSession

__all__ = [
    "InvalidSession",
    "Problem",
    "load_session",
    "read_session",
    "semantic_problems",
    "validate_session",
]


class InvalidSession(SpecError):  # noqa: N818 - the field's term
    """A session with problems.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first, more = problems[0], len(problems) - 1
        also = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        super().__init__(f"{first}{also}", mend=first.mend)
        self.problems = problems


def load_session(text: str | bytes) -> TrainingSession:
    """Reads a session from YAML: one TrainingSession, other documents are passed over.

    Raises:
        SpecError: It cannot be read, or it is invalid; then ``problems`` lists each wrong field.
    """
    session, problems = read_session(read_manifest(text))
    if session is None:
        raise InvalidSession(tuple(problems))
    return session


def validate_session(obj: Any) -> list[Problem]:
    """Returns what is wrong with an object, as parsed from YAML or as the API server gave it."""
    return read_session(obj)[1]


def read_session(obj: Any) -> tuple[TrainingSession | None, list[Problem]]:
    """Reads an object: the session, or else what is wrong with it."""
    if not isinstance(obj, Mapping):
        return None, [Problem("", show(obj), "a TrainingSession is an object with named fields")]
    # Status is the operator's: what stands there is no reason to refuse a spec.
    held = {str(key): value for key, value in obj.items() if key != "status"}
    try:
        check_plain_json(held)
        session = TrainingSession.model_validate(_without_nulls(held))
    except ValidationError as error:
        return None, problems_of(error, TrainingSession)
    except ValueError as error:
        return None, [Problem("", "", f"the object {error}")]
    # The model has defaults for these two, a manifest must say them.
    problems = [
        Problem(name, "", "is required", f"write {name}: {value}")
        for name, value in (("apiVersion", API_VERSION), ("kind", KIND))
        if name not in held
    ]
    problems += semantic_problems(session.spec)
    return (None if problems else session), problems


def _without_nulls(value: Any) -> Any:
    """Drops fields that are null: to an API server, too, they are as good as absent."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
