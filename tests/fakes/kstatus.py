"""kstatus and Flux's health expressions: the real libraries, in a small Go program of ours."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.toolchain import cache_folder, find_go, go_environment

SOURCE = Path(__file__).parents[1] / "unit" / "gitops" / "kstatus"
NEEDED: Final = (1, 26)
"""As its go.mod says."""
_BUILD_SECONDS = 900


@dataclass(frozen=True)
class Computed:
    """What the libraries make of one object.

    Attributes:
        status: kstatus's word.
        message: Its message.
        flux: What Flux's expressions come to; empty without any.
        error: Why a question has no answer.
    """

    status: str = ""
    message: str = ""
    flux: str = ""
    error: str = ""


def build_kstatus() -> Path:
    """Returns the program, built once for each version of its source."""
    files = sorted(file for file in SOURCE.iterdir() if file.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = cache_folder() / "kstatus" / digest
    program = folder / "kstatus"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    go = find_go(print, NEEDED)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            made = folder / "made"
            subprocess.run(
                [go, "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", made, "."],
                cwd=SOURCE,
                env=go_environment(),
                check=True,
                timeout=_BUILD_SECONDS,
            )
            made.rename(program)
    return program


def compute(
    program: Path, objects: Iterable[dict[str, Any]], expressions: dict[str, str] | None = None
) -> list[Computed]:
    """Asks the program about objects, in their order."""
    chosen = {
        name: (expressions or {}).get(name, "") for name in ("current", "failed", "inProgress")
    }
    asked = "\n".join(json.dumps({"object": one, "expressions": chosen}) for one in objects)
    answer = subprocess.run(
        [program], input=asked, capture_output=True, text=True, timeout=60, check=True
    )
    return [Computed(**json.loads(line)) for line in answer.stdout.splitlines()]
