"""Memory as the kernel counts it, from trees of files as each kind of host has them."""

from types import SimpleNamespace

import psutil
import pytest

from cascade_operator.resources.cgroup import MemorySource, read_host, read_memory

MIB = 2**20
GIB = 2**30
HOST = 64 * GIB
V1_NO_LIMIT = 0x7FFFFFFFFFFFF000
V2, V1 = MemorySource.CGROUP_V2, MemorySource.CGROUP_V1


def v2(current, limit, inactive=0):
    return {
        "memory.current": f"{current}\n",
        "memory.max": f"{limit}\n",
        "memory.stat": f"anon 1\nfile 999999999\nactive_file 5\ninactive_file {inactive}\n",
    }


def v1(usage, limit, inactive=0, inherited=V1_NO_LIMIT):
    return {
        "memory.usage_in_bytes": f"{usage}\n",
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.stat": f"cache 77\ninactive_file 3\nhierarchical_memory_limit {inherited}\n"
        f"total_inactive_file {inactive}\n",
    }


V1_TABLE = "9:name=systemd:/\n4:cpu,memory:{}\n"

# name: (/proc/self/cgroup, {folder: files}, working set, limit, source, limited)
TREES = {
    "v2, a container's own namespace": (
        "0::/\n",
        {"": v2(900 * MIB, GIB, 100 * MIB)},
        (800 * MIB, GIB, V2, True),
    ),
    "v2, on the host": (
        "0::/system.slice/app.service\n",
        {
            "": {"cgroup.controllers": "memory\n"},
            "system.slice": v2(10 * GIB, "max"),
            "system.slice/app.service": v2(3 * GIB, 4 * GIB, GIB),
        },
        (2 * GIB, 4 * GIB, V2, True),
    ),
    "v2, an ancestor's limit is lower": (
        "0::/pod/box/worker\n",
        {
            "pod": v2(3 * GIB, 2 * GIB),
            "pod/box": v2(2 * GIB, 4 * GIB),
            "pod/box/worker": v2(GIB, "max"),
        },
        (GIB, 2 * GIB, V2, True),
    ),
    "v2, the leaf has no memory controller": (
        "0::/pod/leaf\n",
        {"pod": v2(GIB, 2 * GIB), "pod/leaf": {"cgroup.procs": "1\n"}},
        (GIB, 2 * GIB, V2, True),
    ),
    "v2, no limit anywhere": (
        "0::/app\n",
        {"app": v2(GIB, "max")},
        (GIB, HOST, V2, False),
    ),
    "v2, a limit above the host": (
        "0::/\n",
        {"": v2(GIB, 128 * GIB)},
        (GIB, HOST, V2, False),
    ),
    "v2, the host's path in a container": (
        "0::/kubepods/pod1/box\n",
        {"": v2(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V2, True),
    ),
    "v2, outside the namespace's root": (
        "0::/../../other\n",
        {"": v2(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V2, True),
    ),
    "v2, more inactive than used": (
        "0::/\n",
        {"": v2(10, GIB, 20)},
        (0, GIB, V2, True),
    ),
    "v2, no statistics": (
        "0::/\n",
        {"": {"memory.current": "5\n", "memory.max": str(GIB)}},
        (5, GIB, V2, True),
    ),
    "v2, no list of processes' groups": (
        None,
        {"": v2(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V2, True),
    ),
    "v1, a container": (
        V1_TABLE.format("/docker/abc"),
        {"memory": v1(900 * MIB, GIB, 100 * MIB, GIB)},
        (800 * MIB, GIB, V1, True),
    ),
    "v1, on the host, inherited": (
        V1_TABLE.format("/a/b"),
        {
            "memory": v1(9 * GIB, V1_NO_LIMIT),
            "memory/a": v1(5 * GIB, 3 * GIB),
            "memory/a/b": v1(2 * GIB, V1_NO_LIMIT, 0, 3 * GIB),
        },
        (2 * GIB, 3 * GIB, V1, True),
    ),
    "v1, inherited from above what is mounted": (
        V1_TABLE.format("/a"),
        {"memory": v1(GIB, V1_NO_LIMIT, 0, 2 * GIB)},
        (GIB, 2 * GIB, V1, True),
    ),
    "v1, no limit": (
        V1_TABLE.format("/"),
        {"memory": v1(GIB, V1_NO_LIMIT)},
        (GIB, HOST, V1, False),
    ),
    "v1, no list of processes' groups": (
        None,
        {"memory": v1(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V1, True),
    ),
    "hybrid, memory in v1": (
        V1_TABLE.format("/job") + "0::/other\n",
        {
            "unified/other": {"cgroup.procs": "1\n"},
            "memory": v1(9 * GIB, V1_NO_LIMIT),
            "memory/job": v1(GIB, 2 * GIB),
        },
        (GIB, 2 * GIB, V1, True),
    ),
    "hybrid, memory in v2": (
        "1:name=systemd:/x\n0::/job\n",
        {"unified/job": v2(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V2, True),
    ),
    "malformed v2 use, v1 beside it": (
        "0::/\n",
        {"": v2("lots", GIB), "memory": v1(GIB, 2 * GIB)},
        (GIB, 2 * GIB, V1, True),
    ),
    "malformed limit": (
        "0::/a\n",
        {"a": v2(GIB, "-1"), "": v2(GIB, 3 * GIB)},
        (GIB, 3 * GIB, V2, True),
    ),
    "a limit of 0 is none": ("0::/\n", {"": v2(GIB, 0)}, (GIB, HOST, V2, False)),
    "malformed lists": (
        "nonsense\n0:\n:memory:relative\n0::/\n",
        {"": {**v2(GIB, 2 * GIB), "memory.stat": "inactive_file\n\ninactive_file many\n"}},
        (GIB, 2 * GIB, V2, True),
    ),
    "bytes that are no text": (
        "0::/\n",
        {"": v2(GIB, "\u00b2")},
        (GIB, HOST, V2, False),
    ),
}


@pytest.mark.parametrize(("table", "tree", "expected"), TREES.values(), ids=TREES.keys())
def test_memory_is_read_from(tmp_path, table, tree, expected):
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    if table is not None:
        (proc / "self" / "cgroup").write_text(table)
    for folder, files in tree.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / folder / name).write_text(text, encoding="utf-8")
    reading = read_memory(root, proc, host_total=HOST)
    assert (reading.working_set, reading.limit, reading.source, reading.limited) == expected


@pytest.mark.parametrize(
    "files",
    [{}, {"memory.max": "5\n"}, {"memory.current": "\n", "memory.max": "5\n"}],
    ids=["none", "no usage", "empty usage"],
)
def test_without_a_readable_group_the_host_counts(tmp_path, monkeypatch, files):
    memory = SimpleNamespace(total=100, available=30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    reading = read_memory(tmp_path, tmp_path)
    assert reading == read_host()
    assert (reading.working_set, reading.limit, reading.limited) == (70, 100, False)
    assert reading.source is MemorySource.HOST
    assert reading.percent == pytest.approx(70.0)


def test_another_process_group_can_be_read(tmp_path):
    root = tmp_path / "cgroup"
    (root / "job").mkdir(parents=True)
    for name, text in v2(GIB, 2 * GIB).items():
        (root / "job" / name).write_text(text)
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "cgroup").write_text("0::/job\n")
    assert read_memory(root, tmp_path, pid=42, host_total=HOST).limit == 2 * GIB


def test_this_machine_gives_a_reading():
    reading = read_memory()
    assert reading.working_set > 0
    assert 0 < reading.limit <= psutil.virtual_memory().total
