"""Strategic merge of a user's pod-spec overrides into ours.

Maps merge key by key, a null deletes, and the lists that Kubernetes keys (containers by name,
mounts by path, ...) merge entry by entry; every other list replaces. The rules are those of
``x-kubernetes-list-map-keys`` and ``patchMergeKey`` in the core/v1 schema, for the lists a pod has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}


def strategic_merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Merges a patch into a base; neither is changed.

    Entries of keyed lists keep the base's order, new ones follow in the patch's order. An entry of
    the patch without its key is appended as it is.
    """
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(key, merged.get(key), value)
    return merged


def _merge_value(key: str, base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        return strategic_merge(base if isinstance(base, Mapping) else {}, patch)
    if key in _MERGE_KEYS and _is_list(base) and _is_list(patch):
        return _merge_list(_MERGE_KEYS[key], base, patch)
    return patch


def _merge_list(key: str, base: Sequence[Any], patch: Sequence[Any]) -> list[Any]:
    merged = list(base)
    places = {entry[key]: i for i, entry in enumerate(merged) if _has(entry, key)}
    for entry in patch:
        if _has(entry, key) and entry[key] in places:
            place = places[entry[key]]
            merged[place] = strategic_merge(merged[place], entry)
        else:
            if _has(entry, key):
                places[entry[key]] = len(merged)
            merged.append(entry)
    return merged


def _has(entry: Any, key: str) -> bool:
    return isinstance(entry, Mapping) and key in entry


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
