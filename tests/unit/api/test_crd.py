import re
from pathlib import Path

import pytest
import yaml

from cascade_operator.api.cel_rules import CEL_RULES
from cascade_operator.api.crd import build_crd, render_crd
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus

FILE = Path(__file__).parents[3] / "crds" / "cascade-operator.dev_trainingsessions.yaml"
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "nullable", "title", "const",
             "patternProperties", "propertyNames", "prefixItems", "x-inherits"}  # fmt: skip


def _schema():
    (version,) = build_crd()["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def _walk(node, path="", *, in_items=False):
    yield path, node, in_items
    for name, inner in node.get("properties", {}).items():
        yield from _walk(inner, f"{path}.{name}" if path else name, in_items=in_items)
    if "items" in node:
        yield from _walk(node["items"], f"{path}[]", in_items=True)
    if "additionalProperties" in node:
        yield from _walk(node["additionalProperties"], f"{path}{{}}", in_items=True)


NODES = {path: (node, in_items) for path, node, in_items in _walk(_schema())}
# The API server checks these three itself.
OWN = [path for path in NODES if path not in ("", "metadata", "apiVersion", "kind")]


def _at(path):
    return NODES[path][0]


def test_the_file_is_what_the_models_say():
    assert FILE.read_text(encoding="utf-8") == render_crd(), "run: make generate"


def test_the_text_is_stable_yaml_without_anchors():
    assert render_crd() == render_crd()
    assert yaml.safe_load(render_crd()) == build_crd()
    assert not re.search(r"(^|\s)[&*]id\d", render_crd())


def test_names_and_subresources():
    spec = build_crd()["spec"]
    (version,) = spec["versions"]
    assert build_crd()["metadata"]["name"] == "trainingsessions.cascade-operator.dev"
    assert spec["names"]["shortNames"] == ["ts"]
    assert spec["names"]["categories"] == ["all", "cascade"]
    assert version["subresources"] == {"status": {}}
    assert _at("status")["default"] == {"observedGeneration": -1, "phase": "Pending"}


@pytest.mark.parametrize("path", NODES)
def test_each_node_is_structural(path):
    node = _at(path)
    assert not FORBIDDEN & node.keys()
    assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"} or (
        node.get("x-kubernetes-int-or-string")
    )


@pytest.mark.parametrize("path", OWN)
def test_each_property_says_what_it_is(path):
    if not path.endswith(("[]", "{}")):
        assert _at(path).get("description")


@pytest.mark.parametrize("path", OWN)
def test_each_value_is_bounded(path):
    node = _at(path)
    match node.get("type"):
        case "string" | None:
            assert "maxLength" in node or "enum" in node
        case "array":
            assert "maxItems" in node
        case "integer" | "number":
            assert {"minimum", "maximum"} <= node.keys()
        case "object":
            # An object that names no fields would lose everything in it.
            passes = node.get("x-kubernetes-preserve-unknown-fields")
            assert "properties" in node or "additionalProperties" in node or passes
            assert "properties" in node or "maxProperties" in node


@pytest.mark.parametrize("path", NODES)
def test_no_default_lies_in_a_list(path):
    node, in_items = NODES[path]
    assert not (in_items and "default" in node)


def test_what_the_run_resolves_has_no_default():
    for path in ("spec.cascade.tiers", "spec.image", "spec.models.prompt"):
        assert "default" not in _at(path)
    inherited = [path for path in NODES if path.startswith("spec.models.prompt.")]
    assert inherited
    assert not any("default" in _at(path) for path in inherited)


def test_only_the_pod_overrides_keep_unknown_fields():
    keeping = [p for p in NODES if _at(p).get("x-kubernetes-preserve-unknown-fields")]
    assert keeping == ["spec.jobTemplate.spec"]


def test_no_default_lies_in_status():
    inner = [path for path in NODES if path.startswith("status.")]
    assert not any("default" in _at(path) for path in inner)


@pytest.mark.parametrize(
    ("path", "key"), [("status.conditions", "type"), ("status.groups", "name")]
)
def test_lists_that_are_maps(path, key):
    node = _at(path)
    assert node["x-kubernetes-list-map-keys"] == [key]
    assert key in node["items"]["required"]


def test_every_rule_stands_in_the_schema():
    placed = {path for path in NODES if "x-kubernetes-validations" in _at(path)}
    assert placed == set(CEL_RULES)


@pytest.mark.parametrize("path", CEL_RULES)
def test_rules_name_fields_that_exist(path):
    for rule, _ in CEL_RULES[path]:
        for chain in re.findall(r"self((?:\.[A-Za-z_]+)+)\b(?!\()", rule):
            name = re.sub(r"__(\w+?)__", r"\1", f"{path}{chain}")
            assert name in NODES, rule


def _defaulted(node, value):
    """Fills in a schema's defaults, as the API server does."""
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, inner in node.get("properties", {}).items():
        if name not in filled and "default" in inner:
            filled[name] = inner["default"]
        if name in filled:
            filled[name] = _defaulted(inner, filled[name])
    return filled


def test_the_servers_defaults_are_the_models_defaults():
    written = {"traces": {"import": "bfcl"}, "resources": {"prepare": {"limits": {"cpu": "1"}}}}
    served = _defaulted(_at("spec"), written)
    read = TrainingSessionSpec.model_validate(served)
    assert read == TrainingSessionSpec.model_validate(written)
    assert served["resources"]["prepare"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    assert served["resources"]["group"]["limits"]["memory"] == "1Gi"


def test_each_printer_column_shows_a_field_that_exists():
    (version,) = build_crd()["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[\?.*?\]", "[]", column["jsonPath"]).lstrip(".")
        assert path in NODES or path.startswith("metadata."), path


def test_the_status_model_fits_its_schema():
    assert TrainingSessionStatus().dump().keys() <= _at("status")["properties"].keys()
