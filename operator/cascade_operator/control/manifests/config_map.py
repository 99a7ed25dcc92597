"""The ConfigMap of a run: what its Jobs ran, for the archive to keep and a user to read (01)."""

from __future__ import annotations

from typing import Any

from cascade_operator.control.manifests.env import CONFIG_FILE
from cascade_operator.control.manifests.labels import Owner, run_labels
from cascade_operator.control.manifests.naming import config_map_name


def build_config_map(owner: Owner, run: int, config: str) -> dict[str, Any]:
    """Builds the immutable ConfigMap of a run.

    Args:
        owner: The session.
        run: The run's number.
        config: The run's configuration as JSON.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_map_name(owner.name, run),
            "namespace": owner.namespace,
            "labels": run_labels(owner, run),
            "ownerReferences": [owner.reference()],
        },
        "immutable": True,
        "data": {CONFIG_FILE: config},
    }
