"""docs/troubleshooting.md has every word that the code can write as a reason."""

import ast
import re
from pathlib import Path

import pytest

import cascade_operator
from cascade_operator.api import errors
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.status import ConditionType, Phase, StopReason
from cascade_operator.control.domain.completion import EndReason
from cascade_operator.control.domain.policies.diagnosis import BlockReason
from cascade_operator.control.domain.policies.publishing import PublishReason
from cascade_operator.control.domain.policies.retry import TAKEN_AWAY
from cascade_operator.control.domain.run_start import Trigger
from fakes.documents import read_page

SOURCES = Path(cascade_operator.__file__).parent
PAGE = read_page("troubleshooting.md")
_WORD = re.compile(r"[A-Z][A-Za-z]+")

# Words in the planner that are no reason of ours. A new word is a reason until it stands here.
_STATES = {"True", "False", "Deleting", "Held", "Open", "Pending", "Running", "Succeeded", "Failed"}
_VERDICTS = {"Fail", "Retry", "MoreMemory", "PrepareAgain", "Resume"}
_OF_THE_CLUSTER = {
    *("BackoffLimitExceeded", "PodFailurePolicy", "BadRequest", "Invalid"),
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"),
    *("RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun"),
    "CreateContainerConfigError",
}
_EVENT_TYPES = {"Normal", "Warning"}
_HALVES = {"Prepare", "Group", "Archive"}  # of PrepareFailed, GroupRetrying and the like
_NO_REASONS = _STATES | _VERDICTS | _OF_THE_CLUSTER | _EVENT_TYPES | _HALVES


def _words(folder):
    """Every text of one capitalised word in the code of a folder."""
    for file in sorted((SOURCES / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and _WORD.fullmatch(text):
                yield text


def _error_reasons(base):
    """Those of the API's own errors; what else is loaded depends on the tests that run beside."""
    yield base.reason
    for inner in base.__subclasses__():
        if inner.__module__ == errors.__name__:
            yield from _error_reasons(inner)


def _own_reasons(folder):
    """What classes of errors in a folder call themselves: ``reason = "CrdMissing"``."""
    for file in sorted((SOURCES / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
                yield ast.literal_eval(node.value)


PLANNER = sorted(set(_words("control/domain")) - _NO_REASONS)
CONSTRUCTED = [f"{part}{end}" for part in sorted(_HALVES) for end in ("Failed", "Retrying")]
PHASES = [Phase.PREPARING, Phase.TRAINING, Phase.ARCHIVING, Phase.COMPLETE, Phase.SUSPENDED]


def _is_on_the_page(word):
    return f"`{word}`" in PAGE


@pytest.mark.parametrize("word", PLANNER)
def test_every_word_of_the_planner_is_on_the_page(word):
    assert _is_on_the_page(word), "explain it on the page, or list it above as no reason"


def test_the_planner_s_words_are_found():
    # What reads the code must go on seeing what is known to be there.
    enums = {*BlockReason, *PublishReason, *EndReason, *Trigger}
    assert set(map(str, enums)) <= set(PLANNER)
    assert {"RunStarted", "GroupLost", "WaitingForBudget", "MemoryLimitReached"} <= set(PLANNER)


def test_the_list_of_words_that_are_no_reasons_has_no_idle_entry():
    assert set(_words("control/domain")) >= _NO_REASONS


@pytest.mark.parametrize(
    "word",
    [
        *map(str, StopReason),
        *map(str, ConditionType),
        *map(str, PHASES),
        *CONSTRUCTED,
        *sorted(word for word in TAKEN_AWAY if "-" not in word),
        *sorted({*_error_reasons(errors.CascadeError)}),
        *sorted(set(_own_reasons("control/runtime"))),
    ],
)
def test_every_other_reason_is_on_the_page(word):
    assert _is_on_the_page(word)


def test_the_constructed_words_are_those_that_the_code_builds():
    source = (SOURCES / "control/domain/outcomes.py").read_text(encoding="utf-8")
    assert set(re.findall(r'f"\{prefix\}(\w+)"', source)) == {"Failed", "Retrying"}
    assert set(re.findall(r'_tell\(draft, "(\w+)"', source)) == _HALVES


def test_every_exit_code_has_its_line():
    section = PAGE[PAGE.index("## Exit codes") :]
    listed = set(map(int, re.findall(r"^\| (\d+) \|", section, re.MULTILINE)))
    assert listed == {*map(int, ExitCode), 1, 2, 130}


def test_no_reason_is_explained_that_does_not_exist():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    known = {
        *PLANNER,
        *CONSTRUCTED,
        *map(str, StopReason),
        *map(str, ConditionType),
        *map(str, PHASES),
        *TAKEN_AWAY,
        *_error_reasons(errors.CascadeError),
        *_own_reasons("control/runtime"),
    }
    assert explained - known == set()
    assert len(explained) > 60
