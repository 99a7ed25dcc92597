"""What flags and variables are made of; light, so that the command's help loads no more."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

ENVIRONMENT_PREFIX: Final = "CASCADE_OPERATOR_"


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """JSON in a pod or a pipe, text on a terminal."""
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """From which level on records are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as ``logging`` counts it."""
        return int(logging.getLevelNamesMapping()[self.name])


def variable_of(flag: str) -> str:
    """Returns the environment variable that stands for a flag."""
    return ENVIRONMENT_PREFIX + flag.strip("-").replace("-", "_").upper()


def split_names(given: Iterable[str]) -> tuple[str, ...]:
    """Returns names given one by one, or several in one value: ``a,b c``; each once, in order."""
    return tuple(
        dict.fromkeys(name for text in given for name in re.split(r"[,\s]+", text) if name)
    )
