"""Validated fields: which values a human accepted at each leaf.

A leaf is a scalar, an empty container, or ``{"anyOf": [values], "optional": bool}``: any of the
values is right, and an optional leaf may also be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MARKER: Final = "anyOf"
_MARKER_KEYS: Final = frozenset({"anyOf", "optional"})


class _Missing:
    """The type of ``MISSING``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands for a value that an output does not have; ``None`` is a JSON value of its own."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One validated leaf.

    Attributes:
        path: Keys and list positions that lead to it.
        values: The accepted values, the preferred one first.
        optional: Whether it may be left out.
    """

    path: Path
    values: tuple[Any, ...]
    optional: bool = False

    def met_by(self, output: Any) -> bool:
        """Says whether an output has an accepted value here, or rightly leaves it out."""
        found = value_at(output, self.path)
        if found is MISSING:
            return self.optional
        return any(json_equal(found, value) for value in self.values)


def json_equal(left: Any, right: Any) -> bool:
    """Compares as JSON does: ``1 == 1.0``, but ``true != 1``, which Python holds equal."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(json_equal(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


def value_at(output: Any, path: Path) -> Any:
    """Returns the value that a path leads to, or ``MISSING``."""
    for step in path:
        output = _child(output, step)
        if output is MISSING:
            return MISSING
    return output


def leaves(validated: Any) -> tuple[Leaf, ...]:
    """Returns every leaf, in the order of the document.

    Raises:
        ValueError: A leaf with ``anyOf`` is malformed.
    """
    return tuple(_walk(validated, ()))


def closest(validated: Any, output: Any) -> Any:
    """Resolves the validated fields to plain JSON, as near to an output as they allow.

    Where several values are accepted, the output's own is taken if it is one of them, else the
    first. An optional leaf that the output lacks is dropped.

    Raises:
        ValueError: A leaf with ``anyOf`` is malformed.
    """
    resolved = _closest(validated, output, ())
    return None if resolved is MISSING else resolved


def _closest(validated: Any, output: Any, path: Path) -> Any:
    if isinstance(validated, Mapping):
        if _MARKER in validated:
            return _resolve(_marked_leaf(validated, path), output)
        children = {
            key: _closest(value, _child(output, key), (*path, key))
            for key, value in validated.items()
        }
        return {key: value for key, value in children.items() if value is not MISSING}
    if isinstance(validated, list | tuple):
        items = [
            _closest(value, _child(output, place), (*path, place))
            for place, value in enumerate(validated)
        ]
        return [item for item in items if item is not MISSING]
    return validated


def _resolve(leaf: Leaf, output: Any) -> Any:
    if output is MISSING and leaf.optional:
        return MISSING
    return next((value for value in leaf.values if json_equal(value, output)), leaf.values[0])


def _walk(validated: Any, path: Path) -> Iterator[Leaf]:
    if isinstance(validated, Mapping) and _MARKER in validated:
        yield _marked_leaf(validated, path)
    elif isinstance(validated, Mapping) and validated:
        for key, value in validated.items():
            yield from _walk(value, (*path, key))
    elif isinstance(validated, list | tuple) and validated:
        for place, value in enumerate(validated):
            yield from _walk(value, (*path, place))
    else:
        yield Leaf(path, (validated,))


def _marked_leaf(marked: Mapping[str, Any], path: Path) -> Leaf:
    where = "/".join(map(str, path)) or "the top"
    if unknown := sorted(set(marked) - _MARKER_KEYS):
        raise ValueError(f"{where}: anyOf stands beside other keys ({', '.join(unknown)})")
    values = marked[_MARKER]
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"{where}: anyOf must be a list of at least one value")
    if any(_holds_marker(value) for value in values):
        raise ValueError(f"{where}: anyOf holds another anyOf")
    optional = marked.get("optional", False)
    if not isinstance(optional, bool):
        raise ValueError(f"{where}: optional must be true or false")
    return Leaf(path, tuple(values), optional)


def _holds_marker(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _MARKER in value or any(map(_holds_marker, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_marker, value))


def _child(output: Any, step: str | int) -> Any:
    if isinstance(output, Mapping):
        return output.get(step, MISSING) if isinstance(step, str) else MISSING
    if isinstance(output, list | tuple) and isinstance(step, int):
        return output[step] if step < len(output) else MISSING
    return MISSING
