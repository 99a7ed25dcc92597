"""How a process writes its log: lines for people, or one JSON object a line for collectors."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, message, stage code and fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Renders one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name in ("stage", "fields", "seconds"):
            value = getattr(record, name, None)
            if value not in (None, {}):
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        # Half a character, as models write them, is no UTF-8; as an escape it is still JSON.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def configure_logging(*, as_json: bool, level: int = logging.INFO) -> None:
    """Sends this process's log to standard error, in one of the two forms."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if as_json
        else logging.Formatter("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "dspy", "optuna", "numba"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
