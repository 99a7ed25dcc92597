"""JSON from an archive: bounded in depth, plain values, no key twice."""

from __future__ import annotations

from typing import Any, Final

from cascade_operator.api.canonical import strict_json
from cascade_operator.archive.errors import MalformedError

MAX_DEPTH: Final = 64
"""How deep arrays and objects may nest: a program's state takes about ten levels."""

_CONTAINERS: Final = frozenset({dict, list})


def parse_json(data: bytes) -> Any:
    """Returns the value of a JSON document that keeps the bounds.

    Raises:
        MalformedError: The bytes are no UTF-8 JSON, nest deeper than ``MAX_DEPTH``, repeat a key,
            or hold NaN or an infinity.
    """
    try:
        value = strict_json(data, _unique, any_whole=True)
    except RecursionError as error:
        raise MalformedError(f"nests deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise MalformedError(f"is no valid JSON: {error}") from error
    _check_depth(value)
    return value


def parse_object(data: bytes) -> dict[str, Any]:
    """Returns the JSON object that the bytes hold, under the bounds of ``parse_json``.

    Raises:
        MalformedError: As ``parse_json``, or the value is no object.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise MalformedError("is JSON, but no object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return built


def _check_depth(value: Any) -> None:
    # Level by level rather than by recursion: the depth is the sender's choice.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            # Most nodes are long lists of numbers: this looks through one at the speed of C.
            if isinstance(node, dict | list) and not _CONTAINERS.isdisjoint(map(type, children)):
                inner += [child for child in children if type(child) in _CONTAINERS]
        level = inner
        if not level:
            return
    raise MalformedError(f"nests deeper than {MAX_DEPTH} levels")
