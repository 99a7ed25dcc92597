"""Finds and reads the Berkeley Function Calling Leaderboard's data in its installed wheel.

The package itself is never imported: only its data files are wanted, and what it needs to run is
not installed.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import DataError

_PACKAGE: Final = "bfcl_eval"
_DATA_SET: Final = "BFCL_v*_live_simple.json"
_INSTALL: Final = "Install its data: pip install --no-deps bfcl-eval"


@dataclass(frozen=True, slots=True)
class Task:
    """One request of the data set.

    Attributes:
        name: Its id there.
        request: What the user (and a system message, if there is one) says.
        function: The document of the function to call.
        allowed: Per argument the accepted values; an empty text among them says that the
            argument may be left out.
    """

    name: str
    request: str
    function: Mapping[str, Any]
    allowed: Mapping[str, list[Any]]

    @property
    def function_name(self) -> str:
        """The function's name."""
        return str(self.function["name"])

    @property
    def has_alternatives(self) -> bool:
        """Whether an argument has several accepted values, of which leaving it out is one."""
        return any(len(values) > 1 for values in self.allowed.values())

    @property
    def has_optional(self) -> bool:
        """Whether an argument may be left out."""
        return any("" in values for values in self.allowed.values())


def find_data() -> Path:
    """Returns the folder of the installed data.

    Raises:
        DataError: It is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the wheel bfcl-eval is not installed", mend=_INSTALL)
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def read_tasks(folder: Path | None = None) -> list[Task]:
    """Reads the single-function requests of the live data set, in its order.

    Args:
        folder: Where the data lies; the installed wheel by default.

    Raises:
        DataError: The data is missing or has another form.
    """
    folder = folder or find_data()
    questions = sorted(folder.glob(_DATA_SET))
    if not questions:
        raise DataError(f"{folder} lacks {_DATA_SET}", mend=_INSTALL)
    path = questions[-1]
    try:
        answers = {row["id"]: row for row in _rows(folder / "possible_answer" / path.name)}
        return [_task(row, answers[row["id"]]) for row in _rows(path)]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{path} and its answers are not in the form of this data set: "
            f"{type(error).__name__}: {error}",
            mend="Use the version of bfcl-eval that requirements/data.lock names.",
        ) from None


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _task(question: Mapping[str, Any], answer: Mapping[str, Any]) -> Task:
    (function,) = question["function"]
    (truth,) = answer["ground_truth"]
    ((called, allowed),) = truth.items()
    (turn,) = question["question"]
    if called != function["name"]:
        raise ValueError(f"{question['id']}: the answer calls {called}")
    return Task(
        name=question["id"],
        request="\n\n".join(message["content"] for message in turn),
        function=function,
        allowed=allowed,
    )
