"""What is built ahead of the tests: before the first one, or by a command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

from api.toolchain import TestBedError

T = TypeVar("T")
Build = Callable[[Callable[[str], None]], T]
"""Builds what is missing, and is given where to tell of its progress, line by line."""


def build_ahead(
    session: pytest.Session, key: pytest.StashKey[T | TestBedError], build: Build[T]
) -> None:
    """Builds after the collection: the first test's time limit would end a cold build.

    Args:
        session: The run; nothing is built where tests are only listed.
        key: Where what was built is kept, or why it could not be.
        build: Builds it.
    """
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        with capture.global_and_fixture_disabled():
            # Minutes pass: a reader must see that it goes on.
            _show(line)

    try:
        session.config.stash[key] = build(report)
    except TestBedError as error:
        session.config.stash[key] = error


def taken(config: pytest.Config, key: pytest.StashKey[T | TestBedError]) -> T:
    """What was built; fails the test that asks where it could not be."""
    built = config.stash[key]
    if isinstance(built, TestBedError):
        pytest.fail(str(built), pytrace=False)
    return built


def any_uses(session: pytest.Session, fixture: str) -> bool:
    """Whether a test of the run asks for a fixture."""
    return any(fixture in getattr(item, "fixturenames", ()) for item in session.items)


def command(name: str, verb: str, build: Build[object], arguments: list[str]) -> int:
    """``python -m NAME VERB``: builds; returns the exit status."""
    if arguments != [verb]:
        sys.stderr.write(f"usage: python -m {name} {verb}\n")
        return 2
    try:
        build(_show)
    except TestBedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
