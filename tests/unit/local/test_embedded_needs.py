from __future__ import annotations

import pytest

from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.resolve import resolve
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.local.capacity import available_memory, fitting_parallelism
from cascade_operator.local.embedded import LOCAL_DEFAULTS, Needs, needs_of
from cascade_operator.local.servers.packaged import packaged_file

GIB = 1024**3
NAMED = {"endpoint": "http://model:11434"}
NODE = {"name": "n", "signature": "a -> b", "model": {"provider": "OpenAI"}}
OWN_MODEL = [{"name": "t", "code": 0, "nodes": [NODE]}]


def _spec(**fields):
    claim = {"persistentVolumeClaim": {"claimName": "traces"}}
    return TrainingSessionSpec.model_validate({"traces": claim} | fields)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, Needs(chat=True, embeddings=True, redis=True)),
        ({"models": {"task": NAMED}}, Needs(chat=False, embeddings=True, redis=True)),
        (
            {"models": {"task": NAMED, "prompt": {"model": "larger"}, "embedding": NAMED}},
            Needs(chat=False, embeddings=False, redis=True),
        ),
        (
            {"models": {"task": NAMED, "prompt": {"provider": "OpenAI"}}},
            Needs(chat=True, embeddings=True, redis=True),
        ),
        (
            {"models": {"task": NAMED}, "cascade": {"tiers": OWN_MODEL}},
            Needs(chat=True, embeddings=True, redis=True),
        ),
        (
            {
                "models": {"task": NAMED, "embedding": NAMED},
                "redis": {"url": "redis://mine:6379"},
            },
            Needs(chat=False, embeddings=False, redis=False),
        ),
    ],
    ids=[
        "nothing-named",
        "task-named",
        "prompt-inherits",
        "prompt-elsewhere",
        "node-elsewhere",
        "all-named",
    ],
)
def test_only_what_a_session_leaves_open_is_started(fields, needs):
    assert needs_of(_spec(**fields)) == needs


def test_a_runs_configuration_holds_no_address_of_this_machine():
    resolved = resolve(_spec(), LOCAL_DEFAULTS)
    task = resolved.models.task
    assert (task.endpoint, task.provider, task.model) == ("embedded:chat", "OpenAI", "smollm2:135m")
    assert resolved.models.embedding.endpoint == "embedded:embeddings"
    assert resolved.redis.url == "embedded:redis"


@pytest.mark.parametrize(
    ("asked", "embedded", "cpus", "free", "expected"),
    [
        (15, True, 2, 24 * GIB, 2),
        (15, False, 2, 24 * GIB, 8),
        (15, False, 8, 4 * GIB, 2),
        (1, False, 8, 64 * GIB, 1),
        (15, True, 8, GIB // 2, 1),
    ],
    ids=["embedded-model", "remote-model", "little-memory", "asked-for-one", "at-least-one"],
)
def test_jobs_at_once_fit_the_machine(asked, embedded, cpus, free, expected):
    spec = _spec(parallelism=asked)
    found = fitting_parallelism(spec, embedded_model=embedded, cpus=cpus, free_bytes=free)
    assert found == expected


def test_available_memory_is_read_in_bytes(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       24684000 kB\nMemAvailable:   1024 kB\n")
    assert available_memory(meminfo) == 1024**2


def test_a_missing_package_is_named_with_what_to_do():
    with pytest.raises(ServiceUnavailable, match="no-such-weights is not installed") as caught:
        packaged_file("no-such-weights", ".gguf")
    assert "endpoint" in caught.value.mend


def test_a_package_without_the_file_is_named():
    with pytest.raises(ServiceUnavailable, match=r"pyyaml has no file \.gguf"):
        packaged_file("pyyaml", ".gguf")
