"""The ConfigMap that publishes, and which one of its name may be written."""

import pytest

from cascade_operator.api.published import program_digest
from cascade_operator.control.manifests.labels import SESSION_UID
from cascade_operator.control.manifests.published import (
    PublishRequest,
    build_published,
    is_published,
    may_replace,
)
from fakes.cluster import PROGRAM, UID

REQUEST = PublishRequest(
    namespace="team",
    session="s" * 80,
    uid=UID,
    config_map="best",
    run=3,
    group="00_01",
    score="0.7000",
    improvement="0.1000",
    sha256=program_digest(PROGRAM),
    bytes=len(PROGRAM),
)
OURS = {"labels": {SESSION_UID: UID}}


def test_labels_fit_and_annotations_say_where_it_comes_from():
    metadata = build_published(REQUEST, PROGRAM)["metadata"]
    assert all(len(value) <= 63 for value in metadata["labels"].values())
    told = {key.split("/published-")[1]: v for key, v in metadata["annotations"].items()}
    assert told == {
        "run": "3",
        "group": "00_01",
        "score": "0.7000",
        "improvement": "0.1000",
        "sha256": REQUEST.sha256,
    }


@pytest.mark.parametrize(
    ("existing", "words"),
    [
        pytest.param({"metadata": OURS}, "", id="ours"),
        pytest.param({"metadata": {}}, "not this session's", id="no label"),
        pytest.param({}, "not this session's", id="nothing at all"),
        pytest.param(
            {"metadata": {"labels": {SESSION_UID: "x"}}}, "not this session's", id="a namesake's"
        ),
        pytest.param({"metadata": OURS, "immutable": True}, "immutable", id="immutable"),
        pytest.param(
            {"metadata": {**OURS, "ownerReferences": [{}]}}, "a run's own", id="a run's own"
        ),
    ],
)
def test_may_replace(existing, words):
    found = may_replace(existing, REQUEST)
    assert (found == "") == (words == "")
    assert words in found


@pytest.mark.parametrize(
    ("spoil", "holds"),
    [
        pytest.param(lambda m: None, True, id="as written"),
        pytest.param(lambda m: m["data"].clear(), False, id="emptied by hand"),
        pytest.param(lambda m: m["data"].update({"program.json": "{}"}), False, id="edited"),
        pytest.param(lambda m: m["metadata"]["annotations"].clear(), False, id="no annotations"),
    ],
)
def test_is_published(spoil, holds):
    manifest = build_published(REQUEST, PROGRAM)
    spoil(manifest)
    assert is_published(manifest, REQUEST) is holds
