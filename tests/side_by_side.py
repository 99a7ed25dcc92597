"""Runs sets of tests at the same time: ``python tests/side_by_side.py SET -- SET [-- SET ...]``.

Each set is what follows ``pytest`` on its command line and runs in a process of its own; every
test runs alone within its set. The first set's output is shown as it comes, then each other's from
its beginning. Ends with 0 where all did.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.2
_PYTEST = [sys.executable, "-m", "pytest"]


@dataclass(frozen=True)
class _Beside:
    """A set that runs while another's output is shown."""

    words: list[str]
    process: subprocess.Popen[bytes]
    log: Path


def main(arguments: list[str]) -> int:
    """Runs all sets; returns the exit status of the first that failed."""
    first, *others = _sets(arguments)
    with tempfile.TemporaryDirectory() as folder:
        beside = [
            _start(words, Path(folder) / f"{number}.log") for number, words in enumerate(others, 2)
        ]
        shown = subprocess.Popen([*_PYTEST, *first])
        # Ctrl-C goes to all of them; each set then ends what it has started.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes = [shown, *(one.process for one in beside)]
        signal.signal(signal.SIGTERM, lambda *_: [one.terminate() for one in processes])
        shown.wait()
        for one in beside:
            _follow(one)
        return next((one.returncode for one in processes if one.returncode), 0)


def _sets(arguments: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            found.append([])
        else:
            found[-1].append(word)
    return found


def _start(words: list[str], log: Path) -> _Beside:
    with log.open("wb") as output:
        process = subprocess.Popen([*_PYTEST, *words], stdout=output, stderr=output)
    _say(f"pytest {' '.join(words)} runs beside; its output follows.")
    return _Beside(words, process, log)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _follow(one: _Beside) -> None:
    """Shows what a set has written and goes on writing, until it has ended."""
    _say(f"\npytest {' '.join(one.words)}:")
    with one.log.open("rb") as written:
        while True:
            ended = one.process.poll() is not None
            sys.stdout.buffer.write(written.read())
            sys.stdout.buffer.flush()
            if ended:
                return
            time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
