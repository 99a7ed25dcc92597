"""The custom resource definition, made from the models that validate a session.

A structural schema for apiextensions.k8s.io/v1: references inlined, no anyOf and no null types, so
an optional field is simply absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from cascade_operator.api.base import API_VERSION, KIND
from cascade_operator.api.cel_rules import CEL_RULES
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus

PLURAL: Final = "trainingsessions"
HEADER: Final = "# Made by `cascade crd` (make generate) from cascade_operator/api. Do not edit.\n"

_LIST_KEYS: Final[Mapping[str, list[str]]] = {
    "status.conditions": ["type"],
    "status.groups": ["name"],
}
# What of JSON schema a structural schema knows and we use; anything else is left out.
_KEPT: Final[tuple[str, ...]] = (
    *("type", "description", "enum", "format", "pattern", "default", "required"),
    *("minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"),
)
_COLUMNS: Final = (
    ("Phase", "string", ".status.phase", 0, "Where the session is."),
    ("Progress", "integer", ".status.progress.percent", 0, "Percent of the run's work."),
    ("Groups", "string", ".status.groupsSummary", 0, "Finished groups of all."),
    ("Best", "string", ".status.best.score", 0, "Best validation score."),
    ("Run", "integer", ".status.run.number", 0, "The current or last run."),
    ("Suspended", "boolean", ".spec.suspend", 1, "Whether it is suspended."),
    ("Group", "string", ".status.best.group", 1, "The best group."),
    ("Session", "string", ".status.run.sessionId", 1, "Names the run's archives."),
    (
        "Reason",
        "string",
        '.status.conditions[?(@.type=="Ready")].reason',
        1,
        "Why it is ready, or is not.",
    ),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Since it was created."),
)


class WithFactories(GenerateJsonSchema):
    """Says also what a default factory makes: an object's own defaults make it ``{}``."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Returns the inner schema with its default, where there is one to be written."""
        inner = self.generate_inner(schema["schema"])
        value = schema.get("default")
        if "default_factory" in schema:
            value = schema["default_factory"]()  # type: ignore[call-arg]
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        elif value is None or value in ("", [], {}):
            return inner
        return {**inner, "default": self.encode_default(value)}


def build_crd() -> dict[str, Any]:
    """Returns the CRD as plain values, the same ones each time, with sorted keys."""
    group, version = API_VERSION.split("/")
    columns = [
        {
            "name": name,
            "type": kind,
            "jsonPath": path,
            "description": description,
            **({"priority": priority} if priority else {}),
        }
        for name, kind, path, priority, description in _COLUMNS
    ]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{group}"},
        "spec": {
            "group": group,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ts"],
                "categories": ["all", "cascade"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }
    ordered: dict[str, Any] = _sorted(crd)
    return ordered


def render_crd() -> str:
    """Returns the CRD as the text of its file: YAML with a header, without anchors."""
    dumper = type("_NoAliases", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    body = yaml.dump(build_crd(), Dumper=dumper, sort_keys=False, width=100, allow_unicode=True)
    return HEADER + str(body)


def _root() -> dict[str, Any]:
    status = _structural(TrainingSessionStatus, "status", defaults=False)
    # An object that no operator has seen must not look healthy: -1 is no generation's number. Its
    # first phase costs no write this way, and is there where no operator runs.
    status["default"] = {"observedGeneration": -1, "phase": "Pending"}
    status["description"] = "What has come of it; written by the operator alone."
    spec = _structural(TrainingSessionSpec, "spec", defaults=True)
    return {
        "type": "object",
        "description": "Optimises the prompts of a cascade of LLM agents on validated traces.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the API."},
            "kind": {"type": "string", "description": f"{KIND}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def _structural(model: type[BaseModel], path: str, *, defaults: bool) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=WithFactories)
    definitions = schema.get("$defs", {})
    return _node(schema, definitions, path, defaults=defaults)


def _node(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str, *, defaults: bool
) -> dict[str, Any]:
    """Returns one node of the structural schema.

    Args:
        schema: JSON schema.
        definitions: What its references point to.
        path: Where it stands: ``spec.cascade.tiers[].nodes[]``.
        defaults: Whether defaults are kept: a default in a list's item is a permanent difference
            for tools that compare a manifest with the object.
    """
    flat = inlined(schema, definitions)
    defaults = defaults and not flat.get("x-inherits")
    node = {name: flat[name] for name in _KEPT if name in flat}
    if not defaults:
        node.pop("default", None)
    _number_bounds(node)
    if "const" in flat:
        node["enum"] = [flat["const"]]
    if "properties" in flat:
        node["properties"] = {
            name: _node(inner, definitions, f"{path}.{name}", defaults=defaults)
            for name, inner in flat["properties"].items()
        }
    elif values := _map_values(flat):
        node["additionalProperties"] = _node(values, definitions, f"{path}{{}}", defaults=False)
    if "items" in flat:
        node["items"] = _node(flat["items"], definitions, f"{path}[]", defaults=False)
    if path in _LIST_KEYS:
        node["x-kubernetes-list-type"] = "map"
        node["x-kubernetes-list-map-keys"] = _LIST_KEYS[path]
    if path in CEL_RULES:
        node["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in CEL_RULES[path]
        ]
    return node


def inlined(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema with its reference and its optional type replaced by what they mean."""
    flat = dict(schema)
    while "$ref" in flat or "anyOf" in flat:
        if "anyOf" in flat:
            choices = [one for one in flat.pop("anyOf") if one.get("type") != "null"]
            if len(choices) != 1:
                raise ValueError(f"a structural schema has no choice of types: {choices}")
            inner = choices[0]
        else:
            inner = definitions[flat.pop("$ref").rsplit("/", 1)[-1]]
        flat = {**inner, **flat}
    return flat


def _map_values(flat: Mapping[str, Any]) -> Mapping[str, Any] | None:
    # A pattern for a map's keys is what a structural schema lacks; validation checks those.
    by_pattern = list(flat.get("patternProperties", {}).values())
    values = by_pattern[0] if by_pattern else flat.get("additionalProperties")
    return values if isinstance(values, Mapping) else None


def _number_bounds(node: dict[str, Any]) -> None:
    # Up to draft 4, and so in OpenAPI 3.0, an exclusive bound is a flag beside the bound.
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            node[bound] = node[exclusive]
            node[exclusive] = True
    if node.get("type") == "integer":
        node["format"] = "int64"


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
