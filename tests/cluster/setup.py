"""Everything a node is made of, got once and kept in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.binaries import PROGRAMS, ensure_binaries
from api.toolchain import Report
from cluster.images import ensure_images, ensure_ollama
from cluster.packages import ensure_packages
from cluster.programs import NODE_PROGRAMS, OLLAMA
from cluster.weights import ensure_weights


@dataclass(frozen=True)
class Parts:
    """What was set up.

    Attributes:
        programs: By name.
        archives: Of the images that the node imports.
        ollama: Of Ollama's image, which only the tests that ask a real model import.
    """

    programs: dict[str, Path]
    archives: list[Path]
    ollama: Path


def set_up(report: Report) -> Parts:
    """Installs packages, builds programs and images; quick where all of it is there.

    Raises:
        TestBedError: Something could not be got; the message says what to do.
    """
    ensure_packages(report)
    programs = ensure_binaries(report, (*PROGRAMS, *NODE_PROGRAMS, OLLAMA))
    ollama = ensure_ollama(programs[OLLAMA.name], ensure_weights(report), report)
    return Parts(programs, ensure_images(report), ollama)
