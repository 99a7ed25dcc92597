import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_operator.api.records import (
    MAX_MESSAGE_BYTES,
    ArchiveResult,
    CallFigures,
    Failure,
    GroupResult,
    PrepareResult,
    SplitCounts,
    decode_message,
    encode_message,
)
from cascade_operator.api.status import ArchiveStatus, StopReason

GROUP = GroupResult(
    group="00_02",
    trials=40,
    baseline=0.5,
    score=0.75,
    held_out=0.7,
    reason=StopReason.CONVERGED,
    peak_memory=2**30,
    calls=CallFigures(model_calls=12),
    lattice_parents=["00", "02"],
    choice={"agent-00-autogen-bmad": 3},
)
ARCHIVE = ArchiveStatus(
    group_size=1, path="ns/s/20260101T000000Z_size01.tar.zst", sha256="0" * 64, bytes=9
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(GROUP, id="group"),
        pytest.param(
            PrepareResult(records=9, split=SplitCounts(training=4), previous_best=0.25),
            id="prepare",
        ),
        pytest.param(ArchiveResult(final=True, archives=[ARCHIVE], figures=[GROUP]), id="archive"),
        pytest.param(
            Failure(exit_code=65, reason="InvalidData", message="ü", mend="m"), id="failure"
        ),
    ],
)  # fmt: skip
def test_a_message_survives_its_text(message):
    text = encode_message(message)
    assert decode_message(text) == message
    assert decode_message(text.encode()) == message


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            ArchiveResult(
                archives=[ARCHIVE.model_copy(update={"path": "p" * 900})] * 6,
                groups=["00_01_02_03_04_05"] * 63,
                figures=[GROUP] * 63,
            ),
            id="figures of 63 groups",
        ),
        pytest.param(Failure(exit_code=1, message="ä" * 5000, mend="€" * 5000), id="long texts"),
        pytest.param(PrepareResult(imputed=["€" * 1000] * 32), id="long list"),
        pytest.param(
            PrepareResult(restored_groups=["00_01_02_03_04_05"] * 63, imputed=["x" * 300] * 32),
            id="two lists",
        ),
    ],
)
def test_a_large_message_is_cut_and_stays_readable(message):
    text = encode_message(message)
    assert len(text.encode()) <= MAX_MESSAGE_BYTES
    found = decode_message(text)
    assert type(found) is type(message)


def test_cutting_keeps_the_archives_before_the_figures():
    message = ArchiveResult(archives=[ARCHIVE] * 4, figures=[GROUP] * 63)
    found = decode_message(encode_message(message))
    assert found.archives == message.archives
    assert len(found.figures) < 63


def test_text_that_is_no_unicode_is_replaced():
    text = encode_message(Failure(exit_code=1, message="a\ud800b\x00c"))
    found = decode_message(text.encode("utf-8"))
    assert "\ud800" not in found.message
    assert "\x00" not in found.message


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no utf-8"),
        pytest.param(b"[" * 3999, id="nested"),
        pytest.param(b"9" * 3999, id="huge number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"kind": "group"}', id="fields missing"),
        pytest.param(b'{"kind": "pod"}', id="unknown kind"),
        pytest.param(b'{"kind": "group", "group": "00", "trials": 1, "score": NaN}', id="NaN"),
        pytest.param(b'{"kind": "group", "group": "00", "trials": -1}', id="negative"),
        pytest.param(b'{"kind": "group", "group": "00", "trials": 1, "score": 7}', id="no score"),
        pytest.param(b'{"kind": "failure", "exitCode": 1' + b" " * 4000 + b"}", id="oversized"),
    ],
)
def test_a_hostile_message_is_none(raw):
    assert decode_message(raw) is None


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_random_bytes_never_raise(raw):
    assert decode_message(raw) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.sampled_from(["group", "prepare", "archive", "failure"]),
    st.dictionaries(st.sampled_from(["group", "trials", "calls", "figures", "best"]), _JSON),
)
def test_a_known_kind_with_any_fields_never_raises(kind, fields):
    found = decode_message(json.dumps({"kind": kind} | fields))
    assert found is None or found.kind == kind


def test_a_reader_skips_what_a_newer_worker_adds():
    text = encode_message(GROUP)
    assert decode_message(text[:-1] + ',"addedNextYear":1}') == GROUP


def test_call_figures_of_an_earlier_version_are_read():
    old = {"modelCalls": 3, "cacheHits": 2, "waits": 1, "inputTokens": 9, "outputTokens": 4}
    figures = GroupResult.model_validate({"kind": "group", "group": "00", "calls": old}).calls
    assert (figures.model_calls, figures.saved_calls, figures.logical_calls) == (3, 2, 5)
    assert (figures.tokens, figures.memory_hits, figures.failed_attempts) == (13, 0, 0)


def test_call_figures_add_up_and_never_fall():
    one = CallFigures(model_calls=3, memory_hits=1, saved_tokens=7)
    other = CallFigures(model_calls=1, memory_hits=5)
    assert one.plus(other) == CallFigures(model_calls=4, memory_hits=6, saved_tokens=7)
    assert one.at_least(other) == CallFigures(model_calls=3, memory_hits=5, saved_tokens=7)
