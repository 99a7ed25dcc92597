"""A run that starts from the last one's archives."""

from __future__ import annotations

import copy
import json

import pytest

from cascade_operator.training.pool import CandidatePool
from fakes.cascade_cli import cascade
from fakes.model_server import FakeModelServer
from fakes.ticket_runs import (
    KEYS,
    ticket_answers,
    ticket_rows,
    ticket_session,
    write_session,
)

pytestmark = [pytest.mark.process]


def _program(archive, choice):
    pool = CandidatePool.from_bytes(archive.candidates_json)
    return {node: pool.get(node, index).digest for node, index in choice.items()}


def _moved(archive):
    """Groups whose best program is not the declared one."""
    return [key for key in KEYS if any(archive.groups[key].result["outcome"]["choice"].values())]


def test_status_names_the_run_it_started_from(retrained):
    run, first, ended = retrained.run, retrained.first, retrained.ended
    assert run.status["run"]["number"] == 2
    assert run.status["run"]["warmStartedFrom"] == first.session_id != run.session_id
    assert f"warm-started from {first.session_id}" in ended.text


def test_the_second_trial_is_the_archived_program(retrained):
    run, first = retrained.run, retrained.first
    second = run.archive()
    assert len(_moved(first)) >= 2
    for key in _moved(first):
        trial = second.groups[key].trials[1]
        assert trial.origin == "archived"
        archived = first.groups[key].result["outcome"]["choice"]
        assert _program(second, trial.choice) == _program(first, archived)


def test_the_archived_best_is_scored_again_and_reported(retrained):
    run, first = retrained.run, retrained.first
    second = run.archive()
    for key in _moved(first):
        outcome = second.groups[key].result["outcome"]
        # The same program on the same records by the same answers.
        assert outcome["previousBest"] == first.groups[key].result["outcome"]["score"]
        assert run.group(key)["previousBest"] == f"{outcome['previousBest']:.4f}"
        assert outcome["score"] >= outcome["previousBest"]


def test_posteriors_begin_with_half_of_the_archived_counts(retrained):
    run, first = retrained.run, retrained.first
    second = run.archive()
    for key in KEYS:
        scored = sum(trial.examples for trial in second.groups[key].trials)
        counts = (second.groups[key].posterior - 1).sum()
        carried = (first.groups[key].posterior - 1).sum()
        assert counts - scored == pytest.approx(carried / 2, rel=0.05)


def test_both_runs_archives_are_kept(retrained):
    run, first = retrained.run, retrained.first
    assert len(run.archive_files(first.session_id)) == len(run.archive_files()) == 3


@pytest.fixture(scope="module")
def changed(undisturbed, tmp_path_factory):
    """Another run: every ticket reads differently, one is gone, and a node has a new name."""
    folder = tmp_path_factory.mktemp("changed")
    rows = [_renamed(row) for row in ticket_rows()[1:]]
    with FakeModelServer(ticket_answers(rows)) as server:
        document = ticket_session(
            server.url, groups={"include": [["classify"], ["name-product", "decide"]]}
        )
        document["spec"]["cascade"]["tiers"][0]["nodes"][1]["name"] = "name-product"
        run = undisturbed.run.copied_to(folder / "state")
        ended = cascade("run", write_session(folder, document, rows), "--state", run.state)
    assert ended.code == 0, ended.text
    assert "15 records: " in ended.text
    for line in run.message("tickets-r2-prepare")["imputed"]:
        assert line in ended.text.replace("\n", " "), "a user sees what was imputed"
    return run, undisturbed.run.session_id


def _renamed(row):
    row = json.loads(json.dumps(row).replace('"extract":', '"name-product":'))
    for fields in row["agent_chain_inputs"].values():
        fields["ticket"] += " Please answer soon."
    return copy.deepcopy(row)


def test_a_changed_session_starts_warm_where_it_can(changed):
    run, first = changed
    status = run.status
    assert (status["run"]["trigger"], status["run"]["warmStartedFrom"]) == ("SpecChanged", first)
    archive = run.archive()
    assert set(archive.groups) == {"00", "01_02"}
    # The group that was archived tries its program; the new one has none.
    origins = {key: [t.origin for t in group.trials] for key, group in archive.groups.items()}
    assert "archived" not in origins["01_02"]
    assert origins["00"][1] == "archived"


def test_it_says_what_it_imputed(changed):
    run, _ = changed
    said = run.message("tickets-r2-prepare")["imputed"]
    assert "spec.cascade differs from the archived run's" in said
    assert "group 01_02: takes the posterior of archived group 02 (they differ in 1 node)" in said
    records = sum(row.split == "validation" for row in run.archive().split)
    assert (
        f"{records} of {records} validation records are not in the archive: "
        f"{records} take the counts of their nearest neighbour, 0 start uniform"
    ) in said
    assert all(line in run.logs()["tickets-r2-prepare"] for line in said)


def test_demonstrations_of_records_that_no_longer_train_are_left_out(changed):
    run, _ = changed
    archive = run.archive()
    training = {row.record_id for row in archive.split if row.split == "training"}
    pool = CandidatePool.from_bytes(archive.candidates_json)
    used = {
        demonstration.record_id
        for candidates in pool.candidates.values()
        for candidate in candidates
        for demonstration in candidate.demonstrations
    }
    assert used
    assert used <= training
