"""values.yaml, its schema and its README: every key has words, none is unknown, types hold."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from cascade_operator.api.errors import SpecError
from cascade_operator.cli.app import app
from cascade_operator.cli.chart_values import read_values, values_schema, values_table
from chart.helm import CHART, PRODUCTION, HelmError

VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def chart(*arguments):
    return CliRunner().invoke(app, ["chart", *map(str, arguments)])


def test_the_generated_files_are_up_to_date():
    done = chart("--check", "-o", CHART)
    assert done.exit_code == 0, done.output


def test_a_file_that_differs_is_told(tmp_path):
    copy = tmp_path / "chart"
    (copy / "templates").mkdir(parents=True)
    for name in ("values.yaml", "README.md.in"):
        (copy / name).write_text((CHART / name).read_text())
    assert chart("--check", "-o", copy).exit_code == 1
    assert chart("-o", copy).exit_code == 0
    assert chart("--check", "-o", copy).exit_code == 0
    file = copy / "templates" / "_rules.tpl"
    file.write_text(file.read_text().replace("watch", "patch"))
    done = chart("--check", "-o", copy)
    assert done.exit_code == 1
    assert "_rules.tpl differs" in done.output


@pytest.mark.parametrize("file", ["values.yaml", "values-production.yaml"])
def test_the_values_are_as_their_schema_says(file):
    values = yaml.safe_load((CHART / file).read_text())
    errors = [error.message for error in Draft7Validator(SCHEMA).iter_errors(values)]
    assert errors == []


def test_the_schema_is_one_and_refuses_unknown_keys_at_every_level():
    Draft7Validator.check_schema(SCHEMA)
    assert open_maps(SCHEMA, "") == sorted(
        [
            *("affinity", "commonLabels", "nodeSelector", "podAnnotations", "podLabels"),
            *("podSecurityContext", "resources", "securityContext"),
            *("dashboard.annotations", "dashboard.labels", "global", "metrics.serviceAnnotations"),
            *("prometheusRule.labels", "serviceAccount.annotations", "serviceMonitor.labels"),
            *(
                f"{one}.{key}"
                for one in ("ollama", "redis")
                for key in (
                    *("affinity", "nodeSelector", "podAnnotations"),
                    *("podSecurityContext", "resources"),
                )
            ),
        ]
    )


def open_maps(schema, path):
    """The objects that take any key: those of Kubernetes and of labels, and no other."""
    found = []
    for name, one in schema.get("properties", {}).items():
        below = f"{path}.{name}".strip(".")
        if one.get("type") == "object" and one.get("additionalProperties") is not False:
            found.append(below)
        found += open_maps(one, below)
    return sorted(found)


def test_every_key_stands_in_the_readme():
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    for value in read_values(VALUES):
        assert f"| `{'.'.join(value.path)}` |" in readme
        assert len(value.doc) > 5


def test_every_key_is_read_by_a_template():
    templates = "".join(one.read_text() for one in CHART.glob("templates/**/*") if one.is_file())
    for value in read_values(VALUES):
        name = value.path[-1]
        assert re.search(rf"\.{name}\b", templates), ".".join(value.path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: 1\n", "a has no description", id="no words"),
        pytest.param("b:\n  # -- It.\n  c: 1\n  d: 2\n", "b.d has no description", id="below"),
        pytest.param("# -- It.\n# @schema {x\na: 1\n", "the schema of a is no JSON", id="no json"),
        pytest.param("# -- It.\n# @schema [1]\na: 1\n", "the schema of a is no object", id="list"),
        pytest.param("- 1\n", "no map", id="no map"),
    ],
)
def test_values_that_cannot_be_read_are_named(text, words):
    with pytest.raises(SpecError, match=re.escape(words)):
        read_values(text)


def test_what_is_made_of_values():
    text = """\
# About the file.

# @section One

a:
  # -- First,
  # in two lines.
  b: 1
  # -- An | in it.
  # @schema {"enum": ["x", "|"]}
  c: x

# @section Two

# -- Free.
# @schema {"type": "object"}
d: {k: [1]}
# -- Many.
# @schema {"items": {"type": "string"}}
e: []
"""
    values = read_values(text)
    assert [(".".join(one.path), one.default, one.section) for one in values] == [
        ("a.b", 1, "One"),
        ("a.c", "x", "One"),
        ("d", {"k": [1]}, "Two"),
        ("e", [], "Two"),
    ]
    assert values[0].doc == "First, in two lines."
    schema = values_schema(values)["properties"]
    assert schema["a"]["properties"]["b"] == {
        "description": "First, in two lines.",
        "type": "integer",
    }
    assert schema["a"]["properties"]["c"]["enum"] == ["x", "|"]
    assert schema["a"]["additionalProperties"] is False
    assert schema["d"]["type"] == "object"
    assert schema["e"]["items"] == {"type": "string"}
    table = values_table(values)
    assert '| `a.c` | `"x"` | An \\| in it. |' in table
    assert table.index("### One") < table.index("`a.b`") < table.index("### Two")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"replicas": 2}, ["additional properties 'replicas' not allowed"], id="key"),
        pytest.param({"redis.urll": "x"}, ["/redis", "'urll'"], id="key below"),
        pytest.param(
            {"replicaCount": "2"}, ["/replicaCount", "got string, want integer"], id="type"
        ),
        pytest.param({"crds.keep": "yes"}, ["/crds/keep", "want boolean"], id="no boolean"),
        pytest.param(
            {"image.pullPolicy": "Sometimes"}, ["/image/pullPolicy", "'Always'"], id="word"
        ),
        pytest.param({"image.digest": "abc"}, ["/image/digest", "pattern"], id="digest"),
        pytest.param({"image.repository": ""}, ["/image/repository", "minLength"], id="no image"),
        pytest.param({"watchNamespaces": ["ML"]}, ["/watchNamespaces/0"], id="namespace"),
        pytest.param({"watchNamespaces": "ml"}, ["/watchNamespaces", "want array"], id="no list"),
        pytest.param({"ollama.models": ["a"]}, ["/ollama/models/0", "want object"], id="model"),
        pytest.param(
            {"ollama.models": [{"name": "a'; rm -rf /; '"}]}, ["/ollama/models/0/name"], id="shell"
        ),
        pytest.param({"redis.maxMemory": "512Mi"}, ["/redis/maxMemory"], id="unit"),
        pytest.param({"redis.url": "redis://:x@h"}, ["/redis/url"], id="password in an address"),
        pytest.param({"fullnameOverride": "A_b"}, ["/fullnameOverride"], id="name"),
    ],
)
def test_wrong_values_are_refused_by_name(helm, values, words):
    with pytest.raises(HelmError) as caught:
        helm.render(values)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(
            {"replicaCount": 2, "leaderElection.enabled": False},
            "set leaderElection.enabled=true",
            id="two without election",
        ),
        pytest.param(
            {"leaderElection.renewDeadlineSeconds": 15}, "renewDeadlineSeconds (15)", id="no margin"
        ),
        pytest.param(
            {"leaderElection.retryPeriodSeconds": 6}, "retryPeriodSeconds (6)", id="one try"
        ),
        pytest.param({"redis.url": "redis://r:6379"}, "set redis.enabled=false", id="two redis"),
        pytest.param({"redis.enabled": False}, "no Redis: set redis.url", id="no redis"),
        pytest.param({"ollama.url": "http://o:1"}, "set ollama.enabled=false", id="two ollama"),
        pytest.param({"ollama.enabled": False}, "no model server", id="no model server"),
        pytest.param(
            {"ollama.enabled": False, "models.task.endpoint": "http://o:1"},
            "no embedding server",
            id="no embedding server",
        ),
        pytest.param({"metrics.port": 8081}, "metrics.port = 8081", id="port twice"),
    ],
)
def test_values_that_contradict_each_other_say_what_to_set(helm, values, words):
    with pytest.raises(HelmError, match=re.escape(words)):
        helm.render(values)


def test_a_parent_chart_may_have_it_as_a_dependency(helm, tmp_path):
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "cascade-operator").symlink_to(CHART)
    (tmp_path / "Chart.yaml").write_text(
        "apiVersion: v2\nname: platform\nversion: 1.0.0\ndependencies:\n"
        "- {name: cascade-operator, version: '*', condition: cascade-operator.enabled}\n"
    )
    (tmp_path / "values.yaml").write_text("cascade-operator: {enabled: true, replicaCount: 2}\n")
    rendered = helm.render({"global": {"a": "b"}}, release="platform", chart=tmp_path)
    assert rendered.of("Deployment")["spec"]["replicas"] == 2


def test_the_production_values_say_only_what_differs():
    defaults, production = (yaml.safe_load(one) for one in (VALUES, PRODUCTION.read_text()))
    assert production["replicaCount"] > defaults["replicaCount"]
    assert not production["redis"]["enabled"]
    assert not production["ollama"]["enabled"]
