"""What a Job's manifest means as a process: command, environment, folders, memory limit.

A pod's paths do not exist on this machine. Each volume mount has a folder that stands for it, and
an environment value that lies below a mount's path is moved to that folder; so the worker reads
the same variables as in a pod and needs no word about where it runs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.errors import SpecError
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.local.state import StateFolder, checked_name

WORKER: Final = (sys.executable, "-m", "cascade_operator.worker.main")
"""The worker's own entry; it starts faster than the whole command line."""

_TERMINATION_LOG: Final = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class JobProcess:
    """One Job, ready to be started.

    Attributes:
        name: The Job's name.
        labels: The Job's labels.
        command: Program and arguments.
        environment: What the manifest adds to this process's environment.
        termination_log: The file the worker writes its last message to.
        scratch: The folder for files that end with the Job.
        memory_limit: Bytes; 0 where the manifest sets none.
        deadline_seconds: The time it may take; None where the manifest sets none.
    """

    name: str
    labels: Mapping[str, str]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    termination_log: Path
    scratch: Path
    memory_limit: int
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class JobFolders:
    """Where one session's Jobs find their files.

    Attributes:
        state: The state folder.
        session: The session's name.
        session_id: The run the Job belongs to.
    """

    state: StateFolder
    session: str
    session_id: str

    def scratch(self, job: str) -> Path:
        """The folder that stands for a pod's own disk."""
        return self.state.run(self.session_id) / "scratch" / checked_name(job)

    def termination_log(self, job: str) -> Path:
        """The file that stands for a pod's termination log."""
        return self.state.jobs(self.session) / f"{checked_name(job)}.message"


def read_job(
    manifest: Mapping[str, Any], folders: JobFolders, *, worker: Sequence[str] = WORKER
) -> JobProcess:
    """Reads a Job's manifest.

    Args:
        manifest: A Job as it would be sent to an API server.
        folders: Where its files lie here.
        worker: What stands for ``cascade worker`` in its command.

    Raises:
        SpecError: It needs something a process here cannot have; says what.
    """
    metadata, pod = manifest["metadata"], manifest["spec"]["template"]["spec"]
    name = checked_name(metadata["name"])
    container = _worker_container(pod["containers"])
    mounts = _mounts(pod, container, folders, name)
    message_path = container.get("terminationMessagePath", _TERMINATION_LOG)
    termination_log = folders.termination_log(name)
    places = {**mounts, message_path: termination_log}
    environment = {
        entry["name"]: _moved(_value(entry, manifest), places) for entry in container.get("env", [])
    }
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    return JobProcess(
        name=name,
        labels=dict(metadata.get("labels", {})),
        command=_command(container, worker),
        environment=environment,
        termination_log=termination_log,
        scratch=folders.scratch(name),
        memory_limit=parse_quantity(str(limit)) if limit else 0,
        deadline_seconds=manifest["spec"].get("activeDeadlineSeconds"),
    )


def _worker_container(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """The container with our command; a session's own sidecars have nothing to do here."""
    for container in containers:
        if container.get("command", [""])[0] == "cascade":
            return container
    raise SpecError("the Job has no container that runs the cascade command")


def _command(container: Mapping[str, Any], worker: Sequence[str]) -> tuple[str, ...]:
    words = [*container["command"], *container.get("args", [])]
    if words[1:2] == ["worker"]:
        return (*worker, *words[2:])
    return (sys.executable, "-m", "cascade_operator.cli.main", *words[1:])


def _mounts(
    pod: Mapping[str, Any], container: Mapping[str, Any], folders: JobFolders, job: str
) -> dict[str, Path]:
    """The folder behind each mount path."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    found = {}
    for mount in container.get("volumeMounts", []):
        backing = _backing(volumes[mount["name"]], folders, job)
        if backing is not None:
            sub_path = Path(mount.get("subPath", ""))
            if sub_path.is_absolute() or ".." in sub_path.parts:
                raise SpecError(f"the sub-path {sub_path} leaves its volume")
            found[mount["mountPath"].rstrip("/")] = backing / sub_path
    return found


def _backing(volume: Mapping[str, Any], folders: JobFolders, job: str) -> Path | None:
    if "persistentVolumeClaim" in volume:
        return folders.state.volume(volume["persistentVolumeClaim"]["claimName"])
    if "configMap" in volume:
        return folders.state.config_maps(folders.session) / checked_name(
            volume["configMap"]["name"]
        )
    if "secret" in volume:
        return _secret(volume["secret"], folders.state)
    if "emptyDir" in volume:
        return folders.scratch(job) / checked_name(volume["name"])
    raise SpecError(
        f"volume {volume['name']} is of a kind that has no folder on one machine",
        mend="leave it out of jobTemplate for local runs, or use a persistentVolumeClaim",
    )


def _secret(source: Mapping[str, Any], state: StateFolder) -> Path | None:
    folder = state.secret(source["secretName"])
    if folder.is_dir():
        return folder
    name = source["secretName"]
    variable = f"CASCADE_API_KEY_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
    if source.get("optional", False) or os.environ.get(variable):
        return None
    keys = ", ".join(item["key"] for item in source.get("items", [])) or "KEY"
    raise SpecError(
        f"the session refers to the secret {name}, which is not there",
        mend=f"put its value into the file {folder}/{keys}, or into the variable {variable}",
    )


def _value(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    if "valueFrom" not in entry:
        return str(entry.get("value", ""))
    path = entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
    known = {
        "metadata.name": manifest["metadata"]["name"],
        "metadata.namespace": manifest["metadata"].get("namespace", "default"),
    }
    if path in known:
        return str(known[path])
    raise SpecError(
        f"the variable {entry['name']} takes its value from what only a cluster has",
        mend="give it a plain value in jobTemplate for local runs",
    )


def _moved(value: str, places: Mapping[str, Path]) -> str:
    """Moves a path below a mount to the folder behind it; the deepest mount wins."""
    for mount in sorted(places, key=len, reverse=True):
        if value == mount:
            return str(places[mount])
        if value.startswith(f"{mount}/"):
            return str(places[mount] / value[len(mount) + 1 :])
    return value
