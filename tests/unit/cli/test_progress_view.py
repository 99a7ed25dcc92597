"""Lines and JSON of a running session, as they are printed."""

import json
from dataclasses import replace

from cascade_operator.cli.progress_view import HEARTBEAT_SECONDS, LineView, LiveView
from fakes.run_views import COMPLETE, TRAINING


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_lines_come_at_once_and_a_heartbeat_every_half_minute(capsys):
    clock = Clock()
    view = LineView(clock=clock)
    view.start()
    view.update(TRAINING)
    assert capsys.readouterr().out.splitlines()[0] == "starting ..."
    clock.now = HEARTBEAT_SECONDS - 1
    view.tick(TRAINING)
    assert capsys.readouterr().out == ""
    clock.now = HEARTBEAT_SECONDS
    view.tick(replace(TRAINING, elapsed=95))
    view.tick(replace(TRAINING, elapsed=96))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("[ 1m35s] progress: training, 0 of 2 groups")


def test_json_output_is_one_object_a_line_and_nothing_else(capsys):
    clock = Clock()
    view = LineView(as_json=True, clock=clock)
    view.start()
    view.update(TRAINING)
    view.stopping()
    clock.now = 31
    view.tick(TRAINING)
    view.update(COMPLETE)
    view.stop()
    printed = capsys.readouterr()
    events = [json.loads(line)["event"] for line in printed.out.splitlines()]
    assert events == [
        "run",
        "stage",
        "groupStarted",
        "progress",
        "groupFinished",
        "groupFailed",
        "archive",
        "stage",
    ]
    assert "Ctrl-C again" in printed.err


def test_the_live_view_draws_and_leaves_nothing_behind(capsys):
    view = LiveView()
    view.start()
    view.update(TRAINING)
    view.stopping()
    view.stop()
    assert "internal" not in capsys.readouterr().err
