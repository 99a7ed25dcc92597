"""What is measured anew takes the place of what was, and nothing else is lost."""

from bench.figure import Figure
from bench.results import Row, merge

COMMANDS = ("first", "second", "third")


def row(command, name, value=1.0):
    return Row(Figure(name, value, None, True, command), "2026-01-01", "a machine")


def names(rows):
    return [(r.figure.command, r.figure.name, r.figure.value) for r in rows]


def test_a_command_measured_anew_replaces_all_its_rows_and_no_other():
    kept = [row("first", "a"), row("second", "b"), row("second", "gone"), row("third", "c")]
    found = merge(kept, [row("second", "b", 2.0), row("second", "new", 3.0)], COMMANDS)
    assert names(found) == [
        ("first", "a", 1.0),
        ("second", "b", 2.0),
        ("second", "new", 3.0),
        ("third", "c", 1.0),
    ]


def test_rows_stand_in_the_order_of_their_commands():
    found = merge([row("third", "c")], [row("first", "a")], COMMANDS)
    assert names(found) == [("first", "a", 1.0), ("third", "c", 1.0)]


def test_rows_of_a_command_that_is_gone_go_with_it():
    assert merge([row("dropped", "d")], [], COMMANDS) == []
