"""``python -m api build``: builds the test bed's programs ahead of the tests."""

from __future__ import annotations

import sys

from api.ahead import command
from api.binaries import ensure_binaries

if __name__ == "__main__":
    sys.exit(command("api", "build", ensure_binaries, sys.argv[1:]))
