"""``python -m cluster setup``: packages, programs and images, ahead of the tests."""

from __future__ import annotations

import sys

from api.ahead import command
from cluster.setup import set_up

if __name__ == "__main__":
    sys.exit(command("cluster", "setup", set_up, sys.argv[1:]))
