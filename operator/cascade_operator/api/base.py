"""The base of every model that crosses a border: camelCase outside, frozen inside."""

from __future__ import annotations

from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from cascade_operator.api.scalars import (
    ENTRYPOINT_PATTERN,
    FIELD_NAME_PATTERN,
    SUBDOMAIN_PATTERN,
    Duration,
    Quantity,
)
from cascade_operator.api.scalars import Label as NodeName
from cascade_operator.api.scalars import Subdomain as ClaimName

API_VERSION: Final[Literal["cascade-operator.dev/v1alpha1"]] = "cascade-operator.dev/v1alpha1"
KIND: Final[Literal["TrainingSession"]] = "TrainingSession"
DNS_NAME: Final = SUBDOMAIN_PATTERN
FIELD_NAME: Final = FIELD_NAME_PATTERN
ATTRIBUTE: Final = ENTRYPOINT_PATTERN

__all__ = [
    "API_VERSION",
    "ATTRIBUTE",
    "DNS_NAME",
    "FIELD_NAME",
    "KIND",
    "ApiModel",
    "ClaimName",
    "Duration",
    "NodeName",
    "Quantity",
    "RecordModel",
]

# What pydantic would turn into the field's type, and a Kubernetes API server would refuse.
_REFUSED: Final[dict[type, tuple[tuple[type, ...], str, str]]] = {
    bool: ((str, bytes, int, float), "bool_type", "must be true or false"),
    int: ((str, bytes, bool, float), "int_type", "must be a whole number"),
    float: ((str, bytes, bool), "float_type", "must be a number"),
    str: ((bytes,), "string_type", "must be a string"),
}


class RecordModel(BaseModel):
    """What a program writes: a reader of another version skips what it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def dump(self) -> dict[str, Any]:
        """Returns plain JSON values under the API's names, without what is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ApiModel(RecordModel):
    """What a user writes: an unknown field is a mistake, and no value is converted."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _strict_scalars(cls, value: Any, info: ValidationInfo) -> Any:
        # Strict mode as a whole would refuse enums and times as text; only scalars matter here.
        kind = _scalar(cls.model_fields[info.field_name or ""].annotation)
        if kind is None:
            return value
        refused, code, message = _REFUSED[kind]
        if isinstance(value, refused) and not (kind is bool and isinstance(value, bool)):
            raise PydanticCustomError(code, "{what}", {"what": message})
        return value


def _scalar(annotation: Any) -> type | None:
    if get_origin(annotation) in (Union, UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        annotation = rest[0] if len(rest) == 1 else None
    if get_origin(annotation) is not None and hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    return annotation if annotation in _REFUSED else None
