"""The three adapters: how a node's fields become a prompt, and its answer becomes fields.

They are DSPy's own in what they print, so that a trained program loads in plain DSPy. They differ
in what they do: the output schema reaches the server for every adapter (DSPy sends none to a
model it does not know), one call is one call (no second attempt with another adapter), and
whatever goes wrong while an answer is read is a parse failure.
"""

from __future__ import annotations

import copy
import json
import weakref
from typing import Any, Final

import dspy
import json_repair
import pydantic
from dspy.adapters.baml_adapter import BAMLAdapter
from dspy.adapters.utils import apply_output_field_defaults, parse_value
from dspy.utils.exceptions import AdapterParseError

from cascade_operator.api.canonical import canonical_json

MAX_ANSWER: Final = 65_536
"""Characters of an answer that are looked at; more is a parse failure."""
MAX_REPAIRED: Final = 16_384
"""Characters of broken JSON that are mended: a run of braces takes 0.1 ms each."""

# What DSPy's reading of a hostile answer can raise: json_repair, literal_eval and pydantic.
_READING_ERRORS: Final = (
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

_schemas: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_prefixes: weakref.WeakKeyDictionary[Any, tuple[Any, list[Any], tuple[dict[str, Any], ...]]] = (
    weakref.WeakKeyDictionary()
)


def response_format(signature: type[dspy.Signature]) -> dict[str, Any]:
    """Returns the ``response_format`` that asks for a signature's outputs, in their order.

    The schema is pydantic's own, with references and without bounds: the engine inlines, closes
    and bounds it for the server it speaks to.
    """
    known = _schemas.get(signature)
    if known is None:
        fields: dict[str, Any] = {
            name: (info.annotation, ...) for name, info in signature.output_fields.items()
        }
        schema = pydantic.create_model("Answer", **fields).model_json_schema(by_alias=True)
        known = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
        _schemas[signature] = known
    return known


def _prefix(
    adapter: Any, signature: Any, demos: list[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """The messages before the request's own: the same for all records, and slow to make.

    Kept for the demonstrations a signature was last printed with. They are compared with a copy,
    since whoever holds them may change them.
    """
    known = _prefixes.get(signature)
    if known is not None and known[0] is type(adapter) and known[1] == demos:
        return known[2]
    system = {"role": "system", "content": adapter.format_system_message(signature)}
    made = (system, *adapter.format_demos(signature, demos))
    _prefixes[signature] = (type(adapter), copy.deepcopy(demos), made)
    return made


class _OneCall:
    """What all three share. Mixed in before a DSPy adapter."""

    def format(
        self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Builds the messages; text that looks like DSPy's markers for images stays text."""
        messages = [dict(one) for one in _prefix(self, signature, demos)]
        content = self.format_user_message_content(signature, inputs, main_request=True)  # type: ignore[attr-defined]
        return [*messages, {"role": "user", "content": content}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Reads an answer.

        Raises:
            AdapterParseError: It does not hold the signature's outputs, whatever it holds.
        """
        if len(completion) > MAX_ANSWER:
            raise _unreadable(self, signature, "", f"longer than {MAX_ANSWER} characters")
        try:
            return self._read(signature, completion)
        except AdapterParseError:
            raise
        except _READING_ERRORS as error:
            raise _unreadable(self, signature, completion, str(error)) from error

    def _read(self, signature: Any, completion: str) -> dict[str, Any]:
        raise NotImplementedError


class _JsonAnswer(_OneCall):
    """Asks for a JSON object, with its schema where the server takes one."""

    def _prepare_response_format(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> None:
        if lm.supports_response_schema:
            lm_kwargs["response_format"] = response_format(signature)

    def _read(self, signature: Any, completion: str) -> dict[str, Any]:
        found = _json_object(completion)
        if found is None:
            raise _unreadable(self, signature, completion, "no JSON object")
        fields = {
            name: _field(found[name], info.annotation)
            for name, info in signature.output_fields.items()
            if name in found
        }
        fields = dict(apply_output_field_defaults(signature, fields))
        missing = sorted(set(signature.output_fields) - set(fields))
        if missing:
            raise _unreadable(self, signature, completion, f"without {', '.join(missing)}")
        return fields


class JsonNodeAdapter(_JsonAnswer, dspy.JSONAdapter):
    """DSPy's JSON prompt."""

    def __init__(self) -> None:
        super().__init__(use_native_function_calling=False)


class BamlNodeAdapter(_JsonAnswer, BAMLAdapter):
    """BAML's short rendering of types, which small models follow better than a JSON schema."""

    def __init__(self) -> None:
        super().__init__(use_native_function_calling=False)


class ChatNodeAdapter(_OneCall, dspy.ChatAdapter):
    """DSPy's ``[[ ## field ## ]]`` prompt, for servers that take no schema."""

    def __init__(self) -> None:
        super().__init__(use_native_function_calling=False, use_json_adapter_fallback=False)

    def _read(self, signature: Any, completion: str) -> dict[str, Any]:
        fields: dict[str, Any] = dspy.ChatAdapter.parse(self, signature, completion)
        return fields


def make_adapter(kind: str, *, structured: bool) -> dspy.Adapter:
    """Returns the adapter of a node.

    Args:
        kind: ``Chat``, ``JSON`` or ``BAML``.
        structured: Whether the model's server holds answers to a schema. Then a Chat node is
            asked in JSON too: a schema and ``[[ ## field ## ]]`` markers exclude each other.
    """
    if kind == "BAML":
        return BamlNodeAdapter()
    if kind == "Chat" and not structured:
        return ChatNodeAdapter()
    return JsonNodeAdapter()


def _json_object(completion: str) -> dict[str, Any] | None:
    try:
        found = json.loads(completion)
    except (ValueError, RecursionError):
        if len(completion) > MAX_REPAIRED:
            return None
        found = json_repair.loads(completion)
        start, end = completion.find("{"), completion.rfind("}")
        if not isinstance(found, dict) and 0 <= start < end:
            found = json_repair.loads(completion[start : end + 1])
    return found if isinstance(found, dict) else None


def _field(value: Any, annotation: Any) -> Any:
    if annotation is Any:
        return value
    if annotation is str:
        # A model that nests where text was asked for meant JSON, not Python's notation.
        return value if isinstance(value, str) else canonical_json(value)
    return parse_value(value, annotation)


def _unreadable(adapter: Any, signature: Any, completion: str, why: str) -> AdapterParseError:
    return AdapterParseError(
        adapter_name=type(adapter).__name__,
        signature=signature,
        lm_response=completion[:2_000],
        message=f"The answer cannot be read: {why[:500]}",
    )
