"""Embedded servers that die or find no room while a command lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time

import httpx
import psutil
import pytest
import redis

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.local.servers.embeddings import start_embeddings
from cascade_operator.local.servers.keeper import ServerKeeper
from cascade_operator.local.servers.valkey import start_valkey
from cascade_operator.training.checkpoint import RedisCheckpoints
from cascade_operator.worker.context import connect

pytestmark = pytest.mark.process


@contextlib.asynccontextmanager
async def kept(start, **options):
    """A server and its keeper."""
    server = await start
    keeper = ServerKeeper([server], **options)
    try:
        yield server, keeper
    finally:
        await keeper.close()
        await server.stop()


def _valkey(tmp_path, name="redis"):
    return start_valkey(tmp_path / name, log=tmp_path / "redis.log", max_memory=64 * 1024**2)


async def _until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["redis", "x" * 120], ids=["plain", "long-path"])
def test_a_killed_redis_is_back_with_all_it_had(tmp_path, name):
    async def run():
        async with kept(_valkey(tmp_path, name)) as (server, keeper):
            # A worker's own client: a Job under way must not even notice.
            client = connect({"CASCADE_REDIS_URL": server.url})
            client.set("checkpoint", b"x" * 1000)
            os.kill(server.process.pid, signal.SIGKILL)
            found = await asyncio.to_thread(client.get, "checkpoint")
            await _until(lambda: keeper.notes)
            keeper.check()
            return found, keeper.notes

    found, notes = asyncio.run(run())
    assert found == b"x" * 1000
    assert notes == ["the embedded Redis ended by itself (exit code 137) and was started again"]


def test_embeddings_are_back_at_their_address(tmp_path):
    async def run():
        start = start_embeddings(tmp_path, log=tmp_path / "log", threads=1)
        async with kept(start) as (server, keeper):
            os.kill(server.process.pid, signal.SIGKILL)
            await _until(lambda: keeper.notes, 60)
            return httpx.get(f"{server.url}/api/version", trust_env=False).status_code

    assert asyncio.run(run()) == 200


def test_a_server_that_keeps_dying_is_given_up(tmp_path):
    async def run():
        async with kept(_valkey(tmp_path), most=2) as (server, keeper):
            for restarts in range(3):
                await _until(lambda n=restarts: len(keeper.notes) == n)
                os.kill(server.process.pid, signal.SIGKILL)
            await keeper.broken.wait()
            keeper.check()

    with pytest.raises(ServiceUnavailable, match=r"ended by itself.*3 times") as caught:
        asyncio.run(run())
    assert "redis.log" in caught.value.mend


def test_a_redis_whose_data_is_damaged_says_what_to_move_away(tmp_path):
    async def run():
        async with kept(_valkey(tmp_path)) as (server, keeper):
            (manifest,) = (tmp_path / "redis/appendonlydir").glob("*.manifest")
            manifest.write_bytes(b"no manifest\n")
            os.kill(server.process.pid, signal.SIGKILL)
            await keeper.broken.wait()
            keeper.check()

    with pytest.raises(ServiceUnavailable, match="ended while it started") as caught:
        asyncio.run(run())
    assert f"move {tmp_path / 'redis'} away" in caught.value.mend


def test_a_stop_is_no_death(tmp_path):
    async def run():
        async with kept(_valkey(tmp_path)) as (_, keeper):
            pass
        return keeper.notes, keeper.broken.is_set()

    assert asyncio.run(run()) == ([], False)


def test_a_full_disk_under_redis_refuses_checkpoints_and_loses_none(tmp_path):
    """No file of it may grow any more: what a full disk is to a writer, for any user."""

    async def run():
        async with kept(_valkey(tmp_path)) as (server, _):
            with contextlib.closing(redis.Redis.from_url(server.url)) as client:
                checkpoints = RedisCheckpoints(client, "checkpoint:00")
                checkpoints.save({"trial": 0})
                process = psutil.Process(server.process.pid)
                before = process.rlimit(resource.RLIMIT_FSIZE)
                process.rlimit(resource.RLIMIT_FSIZE, (1, before[1]))
                await asyncio.to_thread(_write_until_refused, client)
                with pytest.raises(ServiceUnavailable) as caught:
                    checkpoints.save({"trial": 1})
                process.rlimit(resource.RLIMIT_FSIZE, before)
                await _until(lambda: _takes_writes(client))
                again = RedisCheckpoints(client, "checkpoint:00")
                assert again.load() == {"trial": 0}
                again.save({"trial": 1})
            return caught.value

    error = asyncio.run(run())
    assert "refused the checkpoint" in str(error)
    assert "Free space on the disk" in error.mend


def _write_until_refused(client):
    """The server learns of its disk with a write that it has answered already."""
    deadline = time.monotonic() + 20
    while _takes_writes(client):
        assert time.monotonic() < deadline


def _takes_writes(client):
    try:
        return client.set("other", 0)
    except redis.ResponseError:
        return False
