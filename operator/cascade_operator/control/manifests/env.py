"""What a worker is told: paths, Redis, its memory limit.

The rest stands in the run's configuration.
"""

from __future__ import annotations

from typing import Any, Final

from cascade_operator.api.session import TrainingSessionSpec

CONFIG_FOLDER: Final = "/etc/cascade"
CONFIG_FILE: Final = "01_architecture_config.json"
SECRETS_FOLDER: Final = "/etc/cascade-secrets"
TRACES_FOLDER: Final = "/mnt/validated_traces"
ARCHIVES_FOLDER: Final = "/mnt/archives"
SCRATCH_FOLDER: Final = "/tmp"  # noqa: S108 - a volume of the pod's own, on a read-only root
TERMINATION_LOG: Final = "/dev/termination-log"


def worker_environment(spec: TrainingSessionSpec, memory_limit: int) -> list[dict[str, Any]]:
    """Builds the ``env`` of the worker container.

    ``CASCADE_TRACES_FILE`` is set for ``traces.file`` alone, which a real cluster refuses and the
    local one resolves beside the session: no volume of a pod could hold it.

    Args:
        spec: The resolved spec.
        memory_limit: The container's limit in bytes, for a worker that cannot read its cgroup.
    """
    secret = spec.redis.password_secret_ref
    values = {
        "CASCADE_CONFIG": f"{CONFIG_FOLDER}/{CONFIG_FILE}",
        "CASCADE_TRACES": TRACES_FOLDER,
        "CASCADE_ARCHIVES": ARCHIVES_FOLDER,
        "CASCADE_REDIS_URL": spec.redis.url,
        "CASCADE_REDIS_PASSWORD_FILE": f"{SECRETS_FOLDER}/{secret.name}/{secret.key}",
        "CASCADE_TERMINATION_LOG": TERMINATION_LOG,
        "CASCADE_MEMORY_LIMIT": str(memory_limit),
        "CASCADE_SCRATCH": SCRATCH_FOLDER,
        # The root file system is read-only: whatever a library caches goes to the scratch volume.
        "HOME": SCRATCH_FOLDER,
        "TMPDIR": SCRATCH_FOLDER,
        "NUMBA_CACHE_DIR": f"{SCRATCH_FOLDER}/numba",
    }
    if spec.traces.file:
        values["CASCADE_TRACES_FILE"] = spec.traces.file
    return [{"name": name, "value": value} for name, value in values.items()]
