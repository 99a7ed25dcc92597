"""On one machine a program is published into a folder, by the same rules as in a cluster."""

import asyncio
import json

import pytest

from cascade_operator.api.keys import RunKeys
from cascade_operator.api.published import program_digest
from cascade_operator.control.kube.live_figures import LiveFigures
from cascade_operator.control.kube.publisher import Publisher
from cascade_operator.control.manifests.published import PublishRequest
from cascade_operator.local.published import ConfigMapFolders
from fakes.cluster import PROGRAM, UID

KEY = RunKeys(UID, 1).program()


@pytest.fixture
def publish(tmp_path, valkey_socket, redis_client):
    """Publishes a program that lies in a real Redis into the folder ``tmp_path``."""
    redis_client.set(KEY, PROGRAM)

    def publish(**changes):
        told = {"sha256": program_digest(PROGRAM), "bytes": len(PROGRAM), **changes}
        figures = {"group": "00", "score": "0.7000", "improvement": "0.1000"}
        names = {"namespace": "default", "session": "s", "uid": UID, "config_map": "best"}
        request = PublishRequest(**names, run=1, **figures, **told)

        async def once():
            reader = LiveFigures(f"unix://{valkey_socket}")
            try:
                return await Publisher(ConfigMapFolders(tmp_path), reader).publish(request)
            finally:
                await reader.close()

        return asyncio.run(once())

    return publish


def test_a_program_becomes_files(publish, tmp_path):
    assert publish().reason == "Published"
    assert (tmp_path / "best" / "program.json").read_bytes() == PROGRAM
    assert json.loads((tmp_path / "best" / "instructions.json").read_text()) == {"n0": "Say it."}


def test_a_folder_of_somebody_else_s_is_left_alone(publish, tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "notes.txt").write_text("mine")
    found = publish()
    assert (found.reason, "not this session's" in found.message) == ("PublishConflict", True)
    assert [file.name for file in (tmp_path / "best").iterdir()] == ["notes.txt"]


def test_what_is_published_needs_no_redis(publish, redis_client):
    publish()
    redis_client.delete(KEY)
    assert publish().reason == "Published"


def test_what_was_cut_short_is_written_again(publish, tmp_path):
    publish()
    (tmp_path / "best" / "program.json").write_text("{")
    assert publish().reason == "Published"
    assert (tmp_path / "best" / "program.json").read_bytes() == PROGRAM


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda r: r.delete(KEY), "no longer in Redis", id="expired"),
        pytest.param(lambda r: r.set(KEY, PROGRAM[::-1]), "digest", id="other bytes"),
        pytest.param(lambda r: (r.delete(KEY), r.lpush(KEY, "x")), "WRONGTYPE", id="other type"),
        pytest.param(lambda r: r.set(KEY, b" " * (1 << 20)), "524289 bytes", id="too large"),
    ],
)
def test_what_is_not_the_program_is_not_published(publish, redis_client, tmp_path, spoil, words):
    spoil(redis_client)
    found = publish()
    assert found.reason == "PublishUnavailable"
    assert words in found.message
    assert "58_program.json" in found.message
    assert not (tmp_path / "best").exists()
