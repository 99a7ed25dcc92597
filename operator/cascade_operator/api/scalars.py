"""The strings and numbers of the API: each with bounds, a pattern, and words for what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from cascade_operator.api.cron import check_cron, check_zone
from cascade_operator.api.quantity import (
    DURATION_PATTERN,
    QUANTITY_PATTERN,
    parse_duration,
    parse_quantity,
)

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._=-]*"
_HOST: Final = r"[A-Za-z0-9.\[\]:_-]{1,253}"

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2999

LABEL_PATTERN: Final = f"^{_LABEL}$"
SUBDOMAIN_PATTERN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
SECRET_KEY_PATTERN: Final = r"^[-._a-zA-Z0-9]+$"  # noqa: S105 - no password
LABEL_TEXT_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
METADATA_KEY_PATTERN: Final = (
    rf"^({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
)
PATH_PATTERN: Final = f"^({_SEGMENT}/)*{_SEGMENT}$"
ENTRYPOINT_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"
MODULE_PATTERN: Final = (
    r"^(Predict|ChainOfThought|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*)$"
)
ENDPOINT_PATTERN: Final = rf"^(https?://{_HOST}(/[A-Za-z0-9._~/-]*)?|embedded:(chat|embeddings))?$"
REDIS_PATTERN: Final = (
    rf"^(rediss?://{_HOST}(/[0-9]{{1,3}})?|unix:///[A-Za-z0-9._/-]{{1,255}}|embedded:redis)?$"
)
TIME_ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
FIELD_NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
IMAGE_PATTERN: Final = r"^([A-Za-z0-9][A-Za-z0-9._:/@-]*)?$"
FILE_PATTERN: Final = r"^[^/\x00-\x20][^\x00-\x1f]*$"
ARCHIVE_PATTERN: Final = r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$"
QUEUE_PATTERN: Final = rf"^({_LABEL}(\.{_LABEL})*)?$"
SUB_PATH_PATTERN: Final = f"^(({_SEGMENT}/)*{_SEGMENT})?$"
FUNCTION_PATTERN: Final = f"^({ENTRYPOINT_PATTERN[1:-1]})?$"
GROUP_KEY_PATTERN: Final = r"^[0-9]{2}(_[0-9]{2})*$"
SCORE_PATTERN: Final = r"^-?[0-9]+\.[0-9]{4}$"

PATTERN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        LABEL_PATTERN: "a name of small letters, digits and '-', such as my-node",
        SUBDOMAIN_PATTERN: "a Kubernetes name: small letters, digits, '-' and '.'",
        SECRET_KEY_PATTERN: "a key of letters, digits, '-', '_' and '.'",
        METADATA_KEY_PATTERN: "a key such as team or example.com/team",
        LABEL_TEXT_PATTERN: "a label value: letters, digits, '-', '_' and '.'",
        PATH_PATTERN: "a relative path without '..', such as folder/85_latest.parquet",
        ENTRYPOINT_PATTERN: "package:attribute of the session's image, such as shop.metric:score",
        MODULE_PATTERN: "Predict, ChainOfThought or package:attribute of the session's image",
        ENDPOINT_PATTERN: "an address such as http://ollama:11434, without user or password",
        REDIS_PATTERN: "an address such as redis://cascade-redis:6379/0, without a password",
        TIME_ZONE_PATTERN: "a time zone name such as Europe/Berlin",
        FIELD_NAME_PATTERN: "a field name of letters, digits and '_'",
        FILE_PATTERN: "a path relative to the session's file, such as traces.jsonl",
        ARCHIVE_PATTERN: "a run's sessionId, such as 20260101T000000Z",
        QUEUE_PATTERN: "a LocalQueue's name",
        SUB_PATH_PATTERN: "a relative path without '..'",
        FUNCTION_PATTERN: "package:attribute of the session's image, such as shop.metric:score",
        IMAGE_PATTERN: "an image reference such as registry.example/cascade:1.0",
        GROUP_KEY_PATTERN: "two-digit node positions such as 00_02",
        QUANTITY_PATTERN: "a quantity such as 512Mi or 2Gi",
        DURATION_PATTERN: "a duration such as 24h, 90s or 1h30m",
    }
)
"""What a pattern asks for, for error messages."""


def _text(pattern: str, most: int, least: int = 1) -> StringConstraints:
    return StringConstraints(strict=True, pattern=pattern, min_length=least, max_length=most)


def _positive_duration(text: str) -> str:
    if parse_duration(text) <= 0:
        raise ValueError("must be longer than 0s")
    return text


def _positive_quantity(text: str) -> str:
    if parse_quantity(text) <= 0:
        raise ValueError("must be more than 0")
    return text


def _cron(text: str) -> str:
    if text:
        check_cron(text)
    return text


def _zone(text: str) -> str:
    check_zone(text)
    return text


def _int_to_text(value: object) -> object:
    return str(value) if type(value) is int else value


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]+")


def clip(most: int) -> BeforeValidator:
    """Returns a validator that cuts a text to this length and drops control characters.

    For what programs write into status and records: a long message must not fail a write.
    """

    def cut(value: object) -> object:
        if not isinstance(value, str):
            return value
        clean = _CONTROL.sub(" ", value)
        return clean if len(clean) <= most else clean[: most - 1] + "…"

    return BeforeValidator(cut)


def rfc3339(moment: datetime) -> str:
    """Returns a time as Kubernetes writes it: UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole_second_utc(moment: datetime) -> datetime:
    # Beyond, a pause or a time to live would lead out of all times that there are.
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"is no time from {_FIRST_YEAR} to {_LAST_YEAR}")
    # Status keeps whole seconds; what was written must equal what is read back.
    return moment.astimezone(UTC).replace(microsecond=0)


Label = Annotated[str, _text(LABEL_PATTERN, 63)]
Subdomain = Annotated[str, _text(SUBDOMAIN_PATTERN, 253)]
SecretKey = Annotated[str, _text(SECRET_KEY_PATTERN, 253)]
RelativePath = Annotated[str, _text(PATH_PATTERN, 253)]
Entrypoint = Annotated[str, _text(ENTRYPOINT_PATTERN, 253)]
ModuleName = Annotated[str, _text(MODULE_PATTERN, 253)]
Endpoint = Annotated[str, _text(ENDPOINT_PATTERN, 512, 0)]
RedisUrl = Annotated[str, _text(REDIS_PATTERN, 512, 0)]
TimeZone = Annotated[str, _text(TIME_ZONE_PATTERN, 64), AfterValidator(_zone)]
FieldName = Annotated[str, _text(FIELD_NAME_PATTERN, 63)]
Image = Annotated[str, _text(IMAGE_PATTERN, 512, 0)]
LocalFile = Annotated[str, _text(FILE_PATTERN, 1024)]
ArchiveName = Annotated[str, _text(ARCHIVE_PATTERN, 63, 0)]
QueueName = Annotated[str, _text(QUEUE_PATTERN, 63, 0)]
SubPath = Annotated[str, _text(SUB_PATH_PATTERN, 253, 0)]
MetadataKey = Annotated[str, _text(METADATA_KEY_PATTERN, 317)]
LabelText = Annotated[str, _text(LABEL_TEXT_PATTERN, 63, 0)]
AnnotationText = Annotated[str, StringConstraints(strict=True, max_length=4096)]
Function = Annotated[str, _text(FUNCTION_PATTERN, 253, 0)]
GroupKey = Annotated[str, _text(GROUP_KEY_PATTERN, 17)]
Score = Annotated[str, _text(SCORE_PATTERN, 24)]
CronText = Annotated[str, StringConstraints(strict=True, max_length=128), AfterValidator(_cron)]
Quantity = Annotated[str, _text(QUANTITY_PATTERN, 24), AfterValidator(_positive_quantity)]
IntOrQuantity = Annotated[
    str,
    _text(QUANTITY_PATTERN, 24),
    AfterValidator(_positive_quantity),
    BeforeValidator(_int_to_text),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "maxLength": 24, "pattern": QUANTITY_PATTERN}
    ),
]
Duration = Annotated[str, _text(DURATION_PATTERN, 24, 2), AfterValidator(_positive_duration)]
Time = Annotated[
    AwareDatetime,
    AfterValidator(_whole_second_utc),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 64}),
]

Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0, le=2**53 - 1)]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1)]
Figure = Annotated[StrictFloat, Field(ge=-1e12, le=1e12)]

Slug = Annotated[str, clip(63), StringConstraints(strict=True, max_length=63)]
Line = Annotated[str, clip(160), StringConstraints(strict=True, max_length=160)]
Name = Annotated[str, clip(253), StringConstraints(strict=True, max_length=253)]
Paragraph = Annotated[str, clip(1024), StringConstraints(strict=True, max_length=1024)]
