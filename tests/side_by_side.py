"""Runs sets of tests at the same time: ``python tests/side_by_side.py SET [-- SET ...]``.

Each set is what follows ``pytest`` on its command line and runs in a process of its own; every
test runs alone within its set. The first set's output is shown as it comes, then each other's from
its beginning. Ends with 0 where all did.

Real servers, nodes and clocks on a busy machine now and then fail a test that is right. Up to three
failed tests of a set are therefore run a second time, with nothing beside them; what passes only
then is named at the end, for whoever mends it. What is broken fails twice.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.2
_MOST_AGAIN = 3
_TESTS_FAILED = 1
_PYTEST = [sys.executable, "-m", "pytest"]


@dataclass
class _Set:
    """A set of tests.

    Attributes:
        words: What pytest is told.
        folder: For what pytest keeps of it, and its output.
        process: The one that runs it.
    """

    words: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Its output, where it is not shown at once."""
        return self.folder / "log"

    @property
    def code(self) -> int:
        """pytest's exit status, once it has ended."""
        assert self.process is not None
        return self.process.returncode

    def start(self, *more: str, shown: bool) -> None:
        """Starts pytest, whose output is shown at once or kept."""
        command = [*_PYTEST, *self.words, "-o", f"cache_dir={self.folder / 'cache'}", *more]
        if shown:
            self.process = subprocess.Popen(command)
            return
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        _say(f"pytest {' '.join(self.words)} runs beside; its output follows.")

    def wait(self) -> None:
        """Waits for its end."""
        assert self.process is not None
        self.process.wait()

    def follow(self) -> None:
        """Shows what it has written and goes on writing, until it has ended."""
        assert self.process is not None
        _say(f"\npytest {' '.join(self.words)}:")
        with self.log.open("rb") as written:
            while True:
                ended = self.process.poll() is not None
                sys.stdout.buffer.write(written.read())
                sys.stdout.buffer.flush()
                if ended:
                    return
                time.sleep(_POLL_SECONDS)

    def failed(self) -> list[str]:
        """The tests that failed; none where it ended in another way."""
        kept = self.folder / "cache" / "v" / "cache" / "lastfailed"
        if self.code != _TESTS_FAILED or not kept.exists():
            return []
        return sorted(json.loads(kept.read_text(encoding="utf-8")))

    def again(self, failed: list[str]) -> bool:
        """Runs what failed once more, alone; returns whether all of it passes now."""
        _say(f"\nOnce more, alone: {', '.join(failed)}")
        self.start("--last-failed", shown=True)
        self.wait()
        return self.code == 0


def main(arguments: list[str]) -> int:
    """Runs all sets; returns the exit status of the first that failed."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [_set(words, Path(folder) / str(n)) for n, words in enumerate(_split(arguments))]
        first, *others = sets
        # Ctrl-C goes to all of them; each set then ends what it has started.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: [_terminate(one) for one in sets])
        for one in others:
            one.start(shown=False)
        first.start(shown=True)
        first.wait()
        for one in others:
            one.follow()
        # Who has interrupted a set waits for no second try of another.
        ended = all(one.code in (0, _TESTS_FAILED) for one in sets)
        unsteady = [name for one in sets for name in _second_try(one)] if ended else []
    if unsteady:
        _say("\nFailed at first, and passed alone:")
        _say("\n".join(f"  {name}" for name in unsteady))
    return next((one.code for one in sets if one.code), 0)


def _split(arguments: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            found.append([])
        else:
            found[-1].append(word)
    return found


def _set(words: list[str], folder: Path) -> _Set:
    folder.mkdir()
    return _Set(words, folder)


def _terminate(one: _Set) -> None:
    if one.process is not None:
        one.process.terminate()


def _second_try(one: _Set) -> list[str]:
    """Which of its tests passed at the second time."""
    failed = one.failed()
    if 0 < len(failed) <= _MOST_AGAIN and one.again(failed):
        return failed
    return []


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
