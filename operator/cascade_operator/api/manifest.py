"""Reads a session's YAML as hostile: bounded, no tags that make objects, no expansion."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

from cascade_operator.api.base import KIND
from cascade_operator.api.errors import SpecError
from cascade_operator.api.plain_json import check_plain_json

MAX_BYTES: Final = 1 << 20
MAX_DOCUMENTS: Final = 64

# What PyYAML lets escape on texts such as `!!int ""`, `!!timestamp x` or a nest of brackets.
_YAML_ERRORS: Final = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class _Loader(yaml.SafeLoader):
    """Dates stay text, as in a Kubernetes manifest, and a key that stands twice is a mistake."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    continue
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value[:60]!r} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_manifest(text: str | bytes) -> dict[str, Any]:
    """Returns the one TrainingSession of a YAML text; other documents are passed over.

    Raises:
        SpecError: It is too large, not YAML, or does not hold exactly one TrainingSession.
    """
    if len(text) > MAX_BYTES:
        raise SpecError("the manifest is larger than 1 MiB", mend="a session is a short YAML file")
    try:
        documents = _documents(text)
    except _YAML_ERRORS as error:
        raise SpecError(
            f"the manifest is not valid YAML: {_where(error)}",
            mend="check indentation, quotes and colons at that place",
        ) from error
    sessions = [one for one in documents if isinstance(one, dict) and one.get("kind") == KIND]
    if not sessions and len(documents) == 1 and isinstance(documents[0], dict):
        # Its kind may be misspelt: validation says so, with a better message.
        return documents[0]
    if len(sessions) != 1:
        raise SpecError(
            f"the manifest holds {len(sessions) or 'no'} TrainingSession"
            f"{'s' if len(sessions) > 1 else ''}, but one is needed",
            mend="start it with apiVersion: cascade-operator.dev/v1alpha1 and kind: "
            "TrainingSession, one session a file",
        )
    return sessions[0]


def _documents(text: str | bytes) -> list[Any]:
    found = []
    for document in yaml.load_all(text, Loader=_Loader):
        if document is None:
            continue
        # Aliases make small texts large, and a text may hold itself: this counts what is reached.
        check_plain_json({"document": document})
        found.append(document)
        if len(found) > MAX_DOCUMENTS:
            raise ValueError(f"it holds more than {MAX_DOCUMENTS} documents")
    return found


def _where(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem or 'error'} (line {mark.line + 1}, column {mark.column + 1})"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
