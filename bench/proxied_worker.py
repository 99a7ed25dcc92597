"""A worker whose embedded model stands behind a proxy: ``proxied_worker.py URL ARGUMENTS``."""

from __future__ import annotations

import os
import sys

from cascade_operator.worker.main import main

if __name__ == "__main__":
    os.environ["CASCADE_EMBEDDED_CHAT_URL"] = sys.argv[1]
    main(sys.argv[2:])
