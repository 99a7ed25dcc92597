"""The node itself: pods of our images under the restrictions and limits that Jobs have."""

from __future__ import annotations

import pytest

from cluster.deployment import RESTRICTED_CONTAINER, RESTRICTED_POD
from cluster.images import OPERATOR, WORKER

# What a worker imports, from a read-only root and as a user without a home; then the memory limit
# as the worker's gate reads it.
_LOOK = """
import importlib, os, pathlib
for name in ("dspy", "optuna", "pyarrow", "umap", "matplotlib.pyplot"):
    importlib.import_module(name)
import cascade_operator.worker.main
from cascade_operator.resources.cgroup import read_memory
print("user", os.getuid(), os.getgid())
print("limit", read_memory().limit)
for path in ("/opt/cascade/x", "/x"):
    try:
        pathlib.Path(path).write_text("")
        print("wrote", path)
    except OSError as error:
        print("refused", path, error.errno)
"""

_EAT = "import sys\nblocks = []\nwhile True: blocks.append(bytearray(b'x') * (8 << 20))"


def _pod(name, namespace, image, command, *, memory="1Gi"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED_POD,
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [
                {
                    "name": "worker",
                    "image": image,
                    "command": command,
                    "securityContext": RESTRICTED_CONTAINER,
                    "resources": {"limits": {"memory": memory}},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
                }
            ],
        },
    }


@pytest.fixture
def namespace(bed):
    """A restricted namespace of the test's own."""
    yield bed.namespace()
    bed.delete_namespaces()


def test_a_worker_runs_as_the_restricted_user_under_its_limit(bed, namespace):
    bed.apply(_pod("look", namespace, WORKER, ["python", "-c", _LOOK]))
    pod = bed.wait_pod(namespace, "look", ["Succeeded", "Failed"], seconds=180)
    said = bed.log(namespace, "look").splitlines()
    assert pod["status"]["phase"] == "Succeeded", said
    assert "user 10001 10001" in said
    assert f"limit {1 << 30}" in said
    assert not [line for line in said if line.startswith("wrote")]
    # 30 is EROFS: it is the root that is read-only, not only the user that may not.
    assert [line for line in said if line.startswith("refused")] == [
        "refused /opt/cascade/x 30",
        "refused /x 30",
    ]


def test_a_worker_over_its_limit_is_killed_by_the_kernel(bed, namespace):
    bed.apply(_pod("eat", namespace, WORKER, ["python", "-c", _EAT], memory="128Mi"))
    pod = bed.wait_pod(namespace, "eat", ["Succeeded", "Failed"])
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_umap_finds_what_the_image_has_compiled(bed, namespace):
    code = (
        "import numpy as np, os\n"
        "from cascade_operator.traces.umap_client import fit_umap\n"
        "x = np.random.default_rng(0).standard_normal((60, 256)).astype('f4')\n"
        "fit_umap(x, dims=16, seed=0, neighbours=15)\n"
        "new = [n for _, _, names in os.walk(os.environ['NUMBA_CACHE_DIR']) for n in names]\n"
        "old = [n for _, _, names in os.walk(os.environ['CASCADE_NUMBA_CACHE']) for n in names]\n"
        "print('compiled', len(set(new) - set(old)), 'found', len(set(old)))\n"
    )
    pod = _pod("umap", namespace, WORKER, ["python", "-c", code])
    pod["spec"]["containers"][0]["env"] = [{"name": "NUMBA_CACHE_DIR", "value": "/tmp/numba"}]
    bed.apply(pod)
    ended = bed.wait_pod(namespace, "umap", ["Succeeded", "Failed"], seconds=240)
    said = bed.log(namespace, "umap")
    assert ended["status"]["phase"] == "Succeeded", said
    compiled, found = (int(word) for word in said.split()[1::2])
    assert (compiled, found > 30) == (0, True), said


def test_the_operators_image_has_no_training_package_and_no_pip(bed, namespace):
    code = (
        "import importlib.util as u\n"
        "print([n for n in ('dspy', 'numpy', 'pyarrow', 'umap', 'pip') if u.find_spec(n)])"
    )
    bed.apply(_pod("bare", namespace, OPERATOR, ["python", "-c", code], memory="64Mi"))
    pod = bed.wait_pod(namespace, "bare", ["Succeeded", "Failed"])
    assert (pod["status"]["phase"], bed.log(namespace, "bare").strip()) == ("Succeeded", "[]")
