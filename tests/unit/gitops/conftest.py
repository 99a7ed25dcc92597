"""The program that asks kstatus and Flux's CEL, built once."""

from pathlib import Path

import pytest

from fakes.kstatus import build_kstatus


@pytest.fixture(scope="session")
def kstatus() -> Path:
    return build_kstatus()
