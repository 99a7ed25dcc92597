"""docs/alerts.md has a runbook for each alert of the chart, to which the alert's link leads."""

import re

import pytest
import yaml

from cascade_operator.control.telemetry.metrics import OperatorMetrics
from fakes.documents import PAGES, ROOT, blocks, read_page, without_blocks

CHART = ROOT / "charts" / "cascade-operator"
PAGE = read_page("alerts.md")
HEADINGS = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)
_METRIC = re.compile(r"\bcascade_operator_[a-z_]+\b")


def alerts():
    return yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["rules"]


def series():
    """Names that a query can use."""
    families = [f for c in OperatorMetrics().registry._collector_to_names for f in c.describe()]
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    names = {f"{family.name}{end}" for family in families for end in ends[family.type]}
    return names | {family.name for family in families if family.type == "histogram"}


def test_each_alert_has_its_section_and_each_section_its_alert():
    assert sorted(rule["alert"] for rule in alerts()) == sorted(HEADINGS)


def test_a_section_says_what_to_do():
    for text in re.split(r"^## \w+$", PAGE, flags=re.MULTILINE)[1:]:
        assert "1. " in text or "| what to do |" in text


def test_the_runbook_s_address_ends_in_the_page_and_the_section_s_anchor():
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    address = values["prometheusRule"]["runbookUrl"]
    assert re.search(r"/alerts(\.html|/)?#$", address)
    template = (CHART / "templates" / "prometheusrule.yaml").read_text(encoding="utf-8")
    assert "lower .alert" in template, "anchors of the page are lower case"


def test_alerts_ask_for_metrics_that_there_are():
    for rule in alerts():
        named = set(_METRIC.findall(rule["expr"]))
        assert named, rule["alert"]
        assert named <= series(), rule["alert"]


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_that_a_page_names_exists(page):
    text = without_blocks(page) + "".join(blocks(page, "promql"))
    assert set(_METRIC.findall(text)) - {"cascade_operator_api"} <= series()
