"""The chat server's process: a small model behind an OpenAI-compatible API.

``python -m cascade_operator.local.servers.chat_process --model FILE --address FILE ...``
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SPIN_COUNT: Final = "1000"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until it is told to stop; writes its address once it listens."""
    options = _parse(arguments)
    # Threads that spin without end between two steps starve the Jobs on a small machine (one
    # request took minutes); threads that sleep at once generate at half the speed. So they spin
    # for a moment. GNU OpenMP reads both once, when the library is loaded.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    import xllamacpp  # noqa: PLC0415 - after the environment is set

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.model)
    parameters.model_alias = {options.alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_ctx = options.context * options.slots
    parameters.n_parallel = options.slots
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.cache_ram_mib = options.cache_mib
    # A model this small repeats itself until max_tokens; with these defaults, which a request may
    # replace, nearly all answers in a schema end by themselves.
    parameters.sampling.penalty_repeat = 1.1
    parameters.sampling.dry_multiplier = 0.8
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.warmup = False
    parameters.offline = True
    server = xllamacpp.Server(parameters)
    options.address.write_text(server.listening_address, encoding="ascii")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(3600):
        pass
    # The library's destructor waits for its slots; nothing is worth saving here.
    os._exit(0)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--alias", required=True, help="the model's name in the API")
    parser.add_argument("--address", type=Path, required=True, help="file for the address")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--context", type=int, required=True, help="tokens a slot")
    parser.add_argument("--slots", type=int, required=True, help="requests at once")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cache-mib", type=int, required=True, help="bound of the prompt cache")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
