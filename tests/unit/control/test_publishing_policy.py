"""Whether a run's best program is published."""

import pytest

from cascade_operator.api.published import MAX_PUBLISHED_BYTES
from cascade_operator.api.status import BestStatus, ProgramStatus
from cascade_operator.control.domain.policies.publishing import hindrance

PROGRAM = ProgramStatus(group="00", sha256="0" * 64, bytes=100)


def best(improvement="0.0500", group="00"):
    return BestStatus(group=group, score="0.7000", improvement=improvement)


@pytest.mark.parametrize(
    ("found", "program", "least", "own", "reason", "words"),
    [
        pytest.param(best(), PROGRAM, 0.05, False, None, "", id="just enough"),
        pytest.param(best("0.0000"), PROGRAM, 0.0, False, None, "", id="no less than none"),
        pytest.param(
            best("0.0499"), PROGRAM, 0.05, False, "PublishSkipped", "under", id="too little"
        ),
        pytest.param(best("-0.0100"), PROGRAM, 0.0, False, "PublishSkipped", "under", id="worse"),
        pytest.param(best(None), PROGRAM, 0.0, False, "PublishSkipped", "no held-out", id="none"),
        pytest.param(None, PROGRAM, 0.0, False, "PublishSkipped", "no held-out", id="no best"),
        pytest.param(best(), PROGRAM, 0.0, True, "PublishUnavailable", "its|own", id="own Redis"),
        pytest.param(best(), None, 0.0, False, "PublishUnavailable", "missing", id="no word"),
        pytest.param(
            best(group="01"), PROGRAM, 0.0, False, "PublishUnavailable", "missing", id="another's"
        ),
        pytest.param(
            best(),
            PROGRAM.model_copy(update={"bytes": MAX_PUBLISHED_BYTES + 1}),
            0.0,
            False,
            "PublishSkipped",
            "over 524288",
            id="too large",
        ),
    ],
)
def test_hindrance(found, program, least, own, reason, words):
    got = hindrance(found, program, least=least, own_redis=own)
    assert (got and str(got.reason)) == reason
    assert got is None or any(word in got.message for word in words.split("|"))
