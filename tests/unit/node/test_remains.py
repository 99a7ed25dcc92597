"""What is found of a run of the node bed, and whose it is; nothing of this machine is touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api.toolchain import TestBedError
from cluster.remains import is_shim, mounts_below
from cluster.runs import Run, living

RUN = Path("/tmp/cascade-node-ab12")
MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /run tmpfs rw 0 0
overlay {run}/node/containerd/state/io.containerd.runtime.v2.task/k8s.io/c1/rootfs overlay rw 0 0
tmpfs {run}/node/kubelet/pods/u1/volumes/kubernetes.io~secret/redis tmpfs rw 0 0
tmpfs {run}/node/kubelet/pods/u1/volumes/kubernetes.io~secret/redis tmpfs rw 0 0
shm {run}/node/with\\040space/shm tmpfs rw 0 0
overlay {run}/node/containerd/state/io.containerd.runtime.v2.task/k8s.io/c1/rootfs/proc proc rw 0 0
overlay /tmp/cascade-node-ab123/node/containerd/state/rootfs overlay rw 0 0
overlay /tmp/cascade-node-other/node/containerd/state/rootfs overlay rw 0 0
""".replace("{run}", str(RUN))


def test_mounts_of_one_run_are_found_the_innermost_first():
    found = mounts_below(RUN, MOUNTS)
    task = f"{RUN}/node/containerd/state/io.containerd.runtime.v2.task/k8s.io/c1/rootfs"
    secret = f"{RUN}/node/kubelet/pods/u1/volumes/kubernetes.io~secret/redis"
    assert sorted(found) == sorted(
        [task, f"{task}/proc", secret, secret, f"{RUN}/node/with space/shm"]
    )
    assert found.index(f"{task}/proc") < found.index(task)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"/usr/bin/containerd-shim-runc-v2 -address {RUN}/node/containerd.sock -id c1", True),
        (f"/usr/bin/containerd-shim-runc-v2 -address {RUN}3/node/containerd.sock -id c1", False),
        ("/usr/bin/containerd-shim-runc-v2 -address /run/containerd/containerd.sock", False),
        (f"/usr/bin/tail -f {RUN}/log/containerd-shim.log", False),
        (f"/usr/bin/ctr --address {RUN}/node/containerd.sock", False),
    ],
    ids=["its own", "of a longer name", "another's", "a reader of its log", "a client"],
)
def test_a_shim_is_one_run_s_by_its_containerd(command, expected):
    assert is_shim(command.replace(" ", "\0").encode() + b"\0", RUN) is expected


def test_a_living_run_is_left_alone(tmp_path):
    removed = []
    run = Run(tmp_path, removed.append)
    with pytest.raises(TestBedError, match=r"process \d+ has this machine's node"):
        Run(tmp_path, removed.append)
    assert (removed, run.folder.exists()) == ([], True)
    run.end()


def test_a_run_that_has_ended_leaves_its_logs_to_the_reader(tmp_path):
    removed = []
    first = Run(tmp_path, removed.append)
    first.end()
    second = Run(tmp_path, removed.append)
    assert (removed, first.folder.exists()) == ([], True)
    second.end()


@pytest.mark.process
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    code = (
        "import sys, pathlib; from cluster.runs import Run\n"
        "run = Run(pathlib.Path(sys.argv[1])); print(run.folder, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        folder = Path(child.stdout.readline().strip())
        assert living(folder) == str(child.pid)
        child.send_signal(signal.SIGKILL)
    removed = []
    run = Run(tmp_path, removed.append)
    assert removed == [folder]
    run.end()
