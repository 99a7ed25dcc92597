"""Nodes that exist in name only, and stages that play our workers in the pods placed on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from api.rest import Rest
from api.scenarios import (
    GRACE_SECONDS,
    OUTCOME,
    PREFIX,
    RUN_SECONDS,
    RUN_UNTIL,
    START_SECONDS,
)

_TEMPLATES: Final = Path(__file__).parent / "stages"
_NEVER_START: Final = ("image-pull", "config-error")
_ROOM: Final = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}


def nodes(count: int) -> dict[str, dict[str, Any]]:
    """Manifests of so many nodes by name, each with 64 cores, 256 GiB and room for 500 pods."""
    names = [f"node-{number:03d}" for number in range(count)]
    return {
        name: {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": _ROOM, "capacity": _ROOM},
        }
        for name in names
    }


@contextmanager
def lost_node(rest: Rest, name: str) -> Iterator[None]:
    """Takes a node away from its pods, as the controllers do with one that is lost; gives it back.

    The taint evicts its pods at once, with the condition ``DisruptionTarget``; real loss is noticed
    after 50 s and tolerated for 300 s more.
    """
    path = f"/api/v1/nodes/{name}"
    taint = {"key": "testbed.cascade-operator.dev/lost", "effect": "NoExecute"}
    rest.merge(path, {"spec": {"taints": [taint]}})
    try:
        yield
    finally:
        rest.merge(path, {"spec": {"taints": None}})


def configuration() -> list[dict[str, Any]]:
    """The documents of kwok's configuration file: its options and the stages of pods."""
    options = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        # Enough for the pods of 1,500 Jobs that end in one instant.
        "options": {"podPlayStageParallelism": 32, "nodeLeaseDurationSeconds": 40},
    }
    return [options, *_stages()]


def _stages() -> list[dict[str, Any]]:
    alive = _jq(".metadata.deletionTimestamp", "DoesNotExist")
    leaving = _jq(".metadata.deletionTimestamp", "Exists")
    outcome = _setting(OUTCOME)
    is_job = '.metadata.ownerReferences // [] | map(select(.kind == "Job")) | length > 0'
    return [
        _stage(
            "start",
            [alive, _phase("Pending"), _jq(outcome, "NotIn", *_NEVER_START)],
            "started.yaml.tmpl",
            seconds=0,
            taken_from=_duration(START_SECONDS),
        ),
        _stage(
            "never-start",
            [
                *(alive, _phase("Pending"), _jq(outcome, "In", *_NEVER_START)),
                _jq(".status.containerStatuses[]?.state.waiting.reason", "DoesNotExist"),
            ],
            "waiting.yaml.tmpl",
            seconds=0,
        ),
        _stage(
            "end",
            [alive, _phase("Running"), _jq(is_job, "In", "true"), _jq(outcome, "NotIn", "hold")],
            "ended.yaml.tmpl",
            seconds=1,
            taken_from=f"({_setting(RUN_UNTIL)}) // ({_duration(RUN_SECONDS)})",
        ),
        _stage(
            "told-to-stop",
            [leaving, _phase("Pending", "Running")],
            "ended.yaml.tmpl",
            seconds=0.2,
            taken_from=_duration(GRACE_SECONDS),
        ),
        _stage(
            "gone",
            [
                *(leaving, _phase("Succeeded", "Failed")),
                _jq(".metadata.finalizers", "DoesNotExist"),
            ],
            None,
            seconds=0,
        ),
    ]


def _stage(
    name: str,
    selectors: Sequence[dict[str, Any]],
    template: str | None,
    *,
    seconds: float,
    taken_from: str | None = None,
) -> dict[str, Any]:
    """A stage: which pods, after what delay, and their next status; none deletes the pod."""
    delay: dict[str, Any] = {"durationMilliseconds": int(seconds * 1000)}
    if taken_from is not None:
        delay["durationFrom"] = {"jq": {"expression": taken_from}}
    step: dict[str, Any] = {"delete": True}
    if template is not None:
        status = {"subresource": "status", "root": "status", "template": _template(template)}
        step = {"patches": [status]}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": list(selectors)},
            "weight": 1,
            "delay": delay,
            "next": step,
        },
    }


def _jq(key: str, operator: str, *values: str) -> dict[str, Any]:
    query: dict[str, Any] = {"key": key, "operator": operator}
    if values:
        query["values"] = list(values)
    return {"jq": query}


def _phase(*values: str) -> dict[str, Any]:
    return _jq(".status.phase", "In", *values)


def _setting(name: str) -> str:
    """The jq expression of a setting: its narrowest annotation, else null."""
    prefix = json.dumps(PREFIX + name)[:-1]
    narrowed = [r".\($part)\($n)", r".\($part)", r".\($stage)\($n)", r".\($stage)", r"\($n)", ""]
    keys = ", ".join(f'{prefix}{ending}"' for ending in narrowed)
    return (
        "(.metadata.labels // {}) as $labels | (.metadata.annotations // {}) as $annotations"
        ' | ($labels["cascade-operator.dev/stage"] // "") as $stage'
        ' | ($labels["cascade-operator.dev/group"] // $stage) as $part'
        ' | ".a\\($labels["cascade-operator.dev/attempt"] // "1")" as $n'
        f" | [{keys}] | map($annotations[.]) | map(select(. != null)) | .[0]"
    )


def _duration(name: str) -> str:
    """The jq expression of a setting in seconds, in the form of a Go duration; else null."""
    return f'{_setting(name)} | if . == null then null else . + "s" end'


def _template(name: str) -> str:
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    message = (_TEMPLATES / "message.tmpl").read_text(encoding="utf-8")
    setting = (_TEMPLATES / "setting.tmpl").read_text(encoding="utf-8")
    return setting + text.replace("MESSAGE\n", message)
