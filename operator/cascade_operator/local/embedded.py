"""Stage 93: the servers a session leaves to this machine, for the time of one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from cascade_operator.api.endpoint import EMBEDDED_CHAT, EMBEDDED_EMBEDDINGS
from cascade_operator.api.models_spec import Provider
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.local.servers.chat import CHAT_MODEL, start_chat
from cascade_operator.local.servers.embeddings import EMBEDDING_MODEL, start_embeddings
from cascade_operator.local.servers.keeper import ServerKeeper
from cascade_operator.local.servers.running import RunningServer
from cascade_operator.local.servers.valkey import start_valkey
from cascade_operator.local.state import StateFolder
from cascade_operator.monitoring.stage_log import run_stage

EMBEDDED_REDIS: Final = "embedded:redis"

# Logical names, not addresses: a run's configuration lies in its archives, and the servers have
# another port, or socket, the next time.
LOCAL_DEFAULTS: Final = Defaults(
    image="",
    redis_url=EMBEDDED_REDIS,
    task_endpoint=EMBEDDED_CHAT,
    task_model=CHAT_MODEL,
    task_provider=Provider.OPENAI,
    embedding_endpoint=EMBEDDED_EMBEDDINGS,
    embedding_model=EMBEDDING_MODEL,
    embedding_provider=Provider.OLLAMA,
)


@dataclass(frozen=True, slots=True)
class Needs:
    """The embedded servers a session needs.

    Attributes:
        chat: No endpoint is named for some chat model.
        embeddings: No endpoint is named for the embedding model.
        redis: No Redis is named.
    """

    chat: bool
    embeddings: bool
    redis: bool


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """The servers that run.

    Attributes:
        environment: What workers need to find them.
        redis_url: The session's Redis, embedded or named.
        keeper: Starts one that ends by itself again.
    """

    environment: dict[str, str]
    redis_url: str
    keeper: ServerKeeper


def needs_of(spec: TrainingSessionSpec) -> Needs:
    """Tells which servers a spec leaves to this machine."""
    resolved = resolve(spec, LOCAL_DEFAULTS)
    models = resolved.models
    chats = [models.task, models.prompt, *(node.model for node in resolved.cascade.nodes)]
    return Needs(
        chat=any(model is not None and model.endpoint == EMBEDDED_CHAT for model in chats),
        embeddings=models.embedding.endpoint == EMBEDDED_EMBEDDINGS,
        redis=resolved.redis.url == EMBEDDED_REDIS,
    )


@asynccontextmanager
async def embedded_servers(
    spec: TrainingSessionSpec, state: StateFolder, *, only: Needs | None = None
) -> AsyncIterator[EmbeddedServers]:
    """Starts the servers a session needs, all at once, and stops them at the end.

    Args:
        spec: The session's spec.
        state: Where they keep their data, addresses and logs.
        only: Of the servers it needs, those to start; None for all.

    Raises:
        ServiceUnavailable: One is not installed, or did not start.
    """
    needs = needs_of(spec)
    if only is not None:
        needs = Needs(
            chat=needs.chat and only.chat,
            embeddings=needs.embeddings and only.embeddings,
            redis=needs.redis and only.redis,
        )
    folder = state.servers
    starts: list[Coroutine[Any, Any, RunningServer]] = []
    if needs.redis:
        starts.append(start_valkey(state.redis, log=folder / "redis.log"))
    if needs.chat:
        starts.append(start_chat(folder, log=folder / "chat.log"))
    if needs.embeddings:
        starts.append(start_embeddings(folder, log=folder / "embeddings.log"))
    running: list[RunningServer] = []
    try:
        with run_stage(93, servers=len(starts)):
            results = await asyncio.gather(*starts, return_exceptions=True)
        running = [result for result in results if isinstance(result, RunningServer)]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        environment = {
            name: value for server in running for name, value in server.environment.items()
        }
        redis_url = environment.get("CASCADE_REDIS_URL", spec.redis.url)
        keeper = ServerKeeper(running)
        try:
            yield EmbeddedServers(environment, redis_url, keeper)
        finally:
            await keeper.close()
    finally:
        await asyncio.gather(*(server.stop() for server in running))
