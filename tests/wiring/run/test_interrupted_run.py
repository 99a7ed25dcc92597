"""A run that is killed and stopped again and again ends as one that never was."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.cascade_cli import Ended, cascade, kill_process, start_cascade, until_gone
from fakes.ticket_runs import KEYS, TicketRun, findings

pytestmark = [pytest.mark.process, pytest.mark.faults]

SLOW = 0.12


@dataclass(frozen=True)
class Interrupted:
    """What was seen on the way."""

    run: TicketRun
    stopped: Ended
    stopped_status: dict
    ended: Ended
    chats: int


@pytest.fixture(scope="module")
def interrupted(undisturbed, server, tmp_path_factory) -> Interrupted:
    """Kills the command twice, as it proposes and as it searches, and a group's worker in its
    search; later presses Ctrl-C.
    """
    run = TicketRun(tmp_path_factory.mktemp("interrupted") / "state")
    command = ("run", undisturbed.session, "--state", run.state)
    before = server.chats
    server.delay = SLOW
    with start_cascade(*command) as proposing:
        asked = server.chats
        proposing.until(lambda: server.chats >= asked + 12)
        assert not run.prepared()
        until_gone(proposing.kill())
    server.delay = 0.0
    with start_cascade(*command) as first:
        first.until(run.prepared)
        server.delay = SLOW
        first.until(lambda: run.trials("tickets-r1-02") >= 1)
        kill_process(run.pid("tickets-r1-02"))
        first.until(lambda: run.group("02")["phase"] == "Pending")
        first.until(lambda: run.trials("tickets-r1-00") >= 1)
        assert run.group("00")["phase"] == "Running"
        until_gone(first.kill())
    with start_cascade(*command) as second:
        # The killed group waits for 30 s, and the larger ones wait for it.
        second.until(lambda: run.trials("tickets-r1-00-02") >= 1, seconds=180)
        left = second.descendants()
        stopped = second.interrupt()
        until_gone(left)
    stopped_status = run.status
    server.delay = 0.0
    ended = cascade(*command)
    return Interrupted(run, stopped, stopped_status, ended, server.chats - before)


def test_the_last_command_finishes_the_run(interrupted):
    assert interrupted.ended.code == 0, interrupted.ended.text
    status = interrupted.run.status
    assert (status["phase"], status["run"]["number"]) == ("Complete", 1)
    assert [group["name"] for group in status["groups"]] == list(KEYS)
    assert {group["phase"] for group in status["groups"]} == {"Succeeded"}


def test_every_trial_is_that_of_an_undisturbed_run(interrupted, undisturbed):
    there, here = findings(undisturbed.run.archive()), findings(interrupted.run.archive())
    assert list(here["groups"]) == list(KEYS)
    assert here["candidates"] == there["candidates"]
    for key in KEYS:
        assert here["groups"][key] == there["groups"][key], key
    assert here == there


def test_the_comparison_would_show_a_difference(undisturbed):
    groups = undisturbed.run.archive().groups
    assert all(len(groups[key].trials) >= 4 for key in KEYS)
    assert len({trial.score for group in groups.values() for trial in group.trials}) > 3
    assert len({trial.origin for group in groups.values() for trial in group.trials}) > 2


@pytest.mark.parametrize("job", ["tickets-r1-00", "tickets-r1-02-a2", "tickets-r1-00-02"])
def test_a_search_goes_on_where_it_was(interrupted, job):
    assert "goes on after trial" in interrupted.run.logs()[job]


def test_a_killed_worker_counts_as_a_failure_and_a_killed_command_does_not(interrupted):
    groups = {group["name"]: group for group in interrupted.run.status["groups"]}
    assert (groups["02"]["attempt"], groups["02"].get("failures")) == (2, 1)
    for key in ("00", "00_02", "00_01_02"):
        assert (groups[key]["attempt"], groups[key].get("failures")) == (1, 0)


def test_ctrl_c_saves_and_says_how_to_go_on(interrupted):
    assert interrupted.stopped.code == 143
    assert "the same command resumes" in interrupted.stopped.text
    page = f"runs/{interrupted.run.session_id}/report.html"
    assert f"report {interrupted.run.state / page}" in interrupted.stopped.text
    assert "Traceback" not in interrupted.stopped.text
    pair = next(g for g in interrupted.stopped_status["groups"] if g["name"] == "00_02")
    assert (pair["phase"], pair["attempt"], pair["failures"]) == ("Running", 1, 0)


def test_the_report_shows_each_attempt_and_how_it_ended(interrupted):
    page = interrupted.run.state / "runs" / interrupted.run.session_id / "report.html"
    lead = re.search(
        r"(\d+) attempts of \d+ Jobs; not done at their end: ([^.]*)", page.read_text()
    )
    assert int(lead[1]) >= 9  # prepare twice, four groups six times, archives
    assert "prepare (left no word)" in lead[2]
    assert "C (left no word)" in lead[2]
    assert "AC (Terminated)" in lead[2]


def test_answers_are_not_asked_for_again(interrupted, undisturbed):
    # A call in flight when its worker dies is lost: two at once, four workers.
    assert undisturbed.chats <= interrupted.chats <= undisturbed.chats + 2 * 4


def test_calls_of_what_was_killed_stay_counted(interrupted):
    # Of a killed worker's calls those in flight are lost: two at once in each of four workers.
    counted = interrupted.run.status["progress"]["modelCalls"]
    assert interrupted.chats - 2 * 4 <= counted <= interrupted.chats
    killed = interrupted.run.group("02")
    assert killed["attempt"] == 2
    # Its second attempt found what the first had asked in the cache, and yet both are its calls.
    assert killed["calls"]["modelCalls"] > 0
    assert killed["calls"]["cacheHits"] > 0


def test_the_archives_verify(interrupted):
    files = interrupted.run.archive_files()
    assert len(files) == 3
    verified = cascade("archive", "verify", *files)
    assert verified.code == 0, verified.text
    assert verified.text.count(": ok, ") == 3


def test_a_complete_run_is_not_run_again(undisturbed, server, tmp_path: Path):
    copy = undisturbed.run.copied_to(tmp_path / "state")
    before, jobs = server.chats, set(copy.logs())
    again = cascade("run", undisturbed.session, "--state", copy.state)
    assert again.code == 0
    assert "nothing has changed since; --retrain starts a new run" in again.text
    assert (server.chats, set(copy.logs())) == (before, jobs)
