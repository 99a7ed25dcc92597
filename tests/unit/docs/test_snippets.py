"""What the pages and the examples show can be used as it stands."""

import json
import re

import pytest
import yaml

from cascade_operator.api.base import KIND
from cascade_operator.api.manifest import read_manifest
from cascade_operator.api.validate import validate_session
from fakes.documents import EXAMPLES, PAGES, ROOT, blocks, read_page, without_blocks, yaml_snippets

MANIFESTS = [(page, one) for page in PAGES for one in yaml_snippets(page)]
SESSIONS = [(page, one) for page, one in MANIFESTS if one["kind"] == KIND]
EXAMPLE_FILES = sorted(EXAMPLES.glob("*.yaml"))
VALUES = ROOT / "charts" / "cascade-operator" / "values.yaml"


# Parts of the chart's values that are no part of a session, or not with these fields.
_OF_THE_CHART = (
    *("ollama", "crds", "rbac", "operator", "leaderElection", "networkPolicy", "metrics", "image"),
    *("workerImage", "serviceMonitor", "prometheusRule", "dashboard"),
    *(r"redis(?=\.(?:enabled|existing|maxMemory))",),
)


def _chart_values(page):
    named = re.findall(r"--set '?([\w.]+)=", "\n".join(blocks(page, "sh")))
    tops = "|".join(_OF_THE_CHART)
    prose = without_blocks(page)
    return named + re.findall(rf"`((?:{tops})(?:\.\w+)+)(?:=[^`]*)?`", prose)


CHART_VALUES = [(page, path) for page in PAGES for path in dict.fromkeys(_chart_values(page))]


def _ids(cases):
    return [f"{page}-{one['kind']}-{one['metadata']['name']}" for page, one in cases]


@pytest.mark.parametrize(("page", "manifest"), MANIFESTS, ids=_ids(MANIFESTS))
def test_every_yaml_block_is_an_object_of_kubernetes(page, manifest):
    assert isinstance(manifest["apiVersion"], str)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", manifest["metadata"]["name"])


@pytest.mark.parametrize(("page", "manifest"), SESSIONS, ids=_ids(SESSIONS))
def test_every_session_on_a_page_is_valid(page, manifest):
    assert validate_session(manifest) == []


def test_the_pages_show_sessions_at_all():
    # A fence that is written otherwise would hide all of them from the tests above.
    assert {page for page, _ in SESSIONS} >= {
        *("examples.md", "first-session.md", "gitops.md", "traces.md"),
        *("memory.md", "archives.md", "model-servers.md"),
    }


@pytest.mark.parametrize("file", EXAMPLE_FILES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_on_the_page_of_examples(file):
    assert validate_session(read_manifest(file.read_bytes())) == []
    assert f"`{file.name}`" in read_page("examples.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_json_block_is_json(page):
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page):
    commands = "\n".join(blocks(page, "sh"))
    named = re.findall(r"`((?:examples|crds|deploy|charts)/[\w./-]*)`", without_blocks(page))
    named += re.findall(r"(?:^|\s)((?:examples|crds|deploy|charts)/[\w./-]*)", commands)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(("page", "path"), CHART_VALUES, ids=map("-".join, CHART_VALUES))
def test_every_value_of_the_chart_that_a_page_names_exists(page, path):
    here = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    for part in path.split("."):
        assert part in here
        here = here[part]


def test_values_of_the_chart_are_found():
    assert ("install.md", "redis.url") in CHART_VALUES
    assert len(CHART_VALUES) > 20
