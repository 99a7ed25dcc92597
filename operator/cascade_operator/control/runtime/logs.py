"""How the operator writes its log: one line a record, and never a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from cascade_operator.control.runtime.flags import LogFormat, LogLevel
from cascade_operator.control.runtime.settings import in_pod
from cascade_operator.stages import stage

_LOG: Final = logging.getLogger("cascade.operator")

_HIDDEN: Final = "***"
_SECRETS: Final = (
    # user:password@ in any URL
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE), r"\g<keep>***@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), None),
    # A service account's token, wherever it stands.
    (re.compile(r"(?P<keep>)\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), None),
    (
        re.compile(
            r"(?P<keep>\b(?:password|passwd|token|api[_-]?key|secret)['\"]?\s*[=:]\s*['\"]?)"
            r"[^\s'\",;)}]+",
            re.IGNORECASE,
        ),
        None,
    ),
)
# What ends kopf is raised too, and told by whoever starts it again.
_TWICE_TOLD: Final = ("kopf._core.reactor.running", "kopf._core.reactor.orchestration")
_QUIET: Final = ("kopf", "kubernetes", "aiohttp", "asyncio", "urllib3")


def log(code: int, message: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Logs one line under a stage's code.

    Args:
        code: The stage's.
        message: For a reader.
        level: As in ``logging``.
        **fields: What it is about; ``session`` is the session as ``namespace/name``.
    """
    _LOG.log(level, "%s: %s", stage(code).label, message, extra={"stage": code, "fields": fields})


def hide_secrets(text: str) -> str:
    """Returns the text without passwords in URLs, tokens and the like."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead or rf"\g<keep>{_HIDDEN}", text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Keys: time (RFC 3339, UTC), level, logger, message, and where known stage, session
    (``namespace/name``), fields, exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Renders one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = dict(getattr(record, "fields", None) or {})
        session = fields.pop("session", None) or _session_of(record)
        known = {"stage": getattr(record, "stage", None), "session": session, "fields": fields}
        line |= {name: value for name, value in known.items() if value not in (None, {}, "")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(_hidden(line), ensure_ascii=False, default=lambda v: hide_secrets(str(v)))
        # Half a character, as models write them, is no UTF-8; as an escape it is still JSON.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class TextFormatter(logging.Formatter):
    """A line for eyes: time, level, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Renders one record."""
        return hide_secrets(super().format(record))


def configure_logs(log_format: LogFormat, level: LogLevel) -> None:
    """Sends this process's log to standard error."""
    as_json = log_format is LogFormat.JSON or (
        log_format is LogFormat.AUTO and (in_pod() or not sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.number)
    # kopf tells of each login and each event at INFO; of what matters at WARNING.
    for name in _QUIET:
        quiet = level.number if level is LogLevel.DEBUG and name == "kopf" else logging.WARNING
        logging.getLogger(name).setLevel(max(quiet, level.number))
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    for name in _TWICE_TOLD:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _session_of(record: logging.LogRecord) -> str:
    """The session a record names: ours as text or as a key, kopf's as a reference."""
    found: Any = getattr(record, "session", None)
    if found is None:
        reference = getattr(record, "k8s_ref", None)
        if not isinstance(reference, dict) or reference.get("kind") != "TrainingSession":
            return ""
        return f"{reference.get('namespace')}/{reference.get('name')}"
    if hasattr(found, "namespace") and hasattr(found, "name"):
        return f"{found.namespace}/{found.name}"
    return str(found)


def _hidden(value: Any) -> Any:
    """Hides secrets in every text of a JSON value."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {key: _hidden(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(one) for one in value]
    return value
