"""Alerts and dashboard speak of metrics that there are, and each alert is explained."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from cascade_operator.api.status import GroupPhase, Phase
from cascade_operator.control.loop.controller import _RESULTS
from cascade_operator.control.telemetry.metrics import OperatorMetrics
from cascade_operator.control.telemetry.run_figures import FINISHED
from chart.helm import CHART
from chart.renderings import MONITORING

ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["rules"]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
DOCS = (CHART.parents[1] / "docs" / "alerts.md").read_text(encoding="utf-8")
SCRAPED = {"namespace", "job", "le"}
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
VALUES = {
    "phase": {*map(str, Phase), *map(str, GroupPhase), *FINISHED},
    "result": {"ok", "elsewhere", "cancelled", "broken", "failed", *_RESULTS.values()},
}


def series():
    """The labels of each series that the registry can show."""
    registry, found = OperatorMetrics().registry, {}
    for collector in list(registry._collector_to_names):
        labels = getattr(collector, "_labelnames", ("phase",))
        assert isinstance(collector, MetricWrapperBase) or labels == ("phase",)
        for family in collector.describe():
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = set(labels)
    return found


SERIES = series()


def panels():
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def expressions():
    for one in ALERTS:
        yield pytest.param(one["expr"], id=one["alert"])
    for one in panels():
        for target in one["targets"]:
            yield pytest.param(target["expr"], id=f"{one['title']} {target['refId']}")


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_series_and_label_and_value_is_one_there_is(expression):
    named = re.findall(r"(cascade_operator_\w+)\{([^}]*)\}", expression)
    assert len(named) == expression.count("cascade_operator_"), "each is matched to one release"
    for name, matchers in named:
        assert name in SERIES
        assert matchers.startswith(("@SELECTOR@", 'namespace=~"$namespace",job=~"$job"'))
        for label, values in re.findall(r'(\w+)[!=~]+"([^"]*)"', matchers):
            assert label in SERIES[name] | SCRAPED
            if label in VALUES:
                assert set(values.split("|")) <= VALUES[label]
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        labels = {label for name, _ in named for label in SERIES[name]} | SCRAPED
        assert {one.strip() for one in grouped.split(",")} <= labels


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_every_alert_has_its_words_and_its_section(alert):
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert set(alert["annotations"]) == {"summary", "description"}
    headings = re.findall(r"^## (\w+)$", DOCS, re.M)
    assert alert["alert"] in headings
    section = DOCS.split(f"## {alert['alert']}\n")[1].split("\n## ")[0]
    assert len(section) > 150
    assert re.search(r"^1\. |^\|", section, re.M), "what to do"


def test_no_section_is_of_an_alert_that_is_gone():
    assert re.findall(r"^## (\w+)$", DOCS, re.M) == [one["alert"] for one in ALERTS]


def test_links_between_sections_lead_somewhere():
    for anchor in re.findall(r"\]\(#(\w+)\)", DOCS):
        assert anchor in [one["alert"].lower() for one in ALERTS]


def test_every_metric_is_on_the_dashboard():
    shown = json.dumps(DASHBOARD)
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES}
    assert [name for name in bases if name not in shown] == []


def test_panels_do_not_overlap_and_each_has_a_title():
    cells = set()
    for one in DASHBOARD["panels"]:
        at = one["gridPos"]
        own = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not own & cells, one["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
        assert one["title"]
    assert len({one["id"] for one in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_rule_is_of_this_release_and_leads_to_the_docs(helm):
    rule = helm.render(MONITORING, namespace="ops").of("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    (group,) = rule["spec"]["groups"]
    assert [one["alert"] for one in group["rules"]] == [one["alert"] for one in ALERTS]
    for one, source in zip(group["rules"], ALERTS, strict=True):
        assert 'namespace="ops",job="cascade-operator-metrics"' in one["expr"]
        assert "@" not in one["expr"]
        anchor = one["annotations"].pop("runbook_url").partition("#")[2]
        assert anchor == one["alert"].lower()
        # Prometheus' own templates came through.
        assert one["annotations"] == source["annotations"]
        assert one.get("for") == source.get("for")


def test_the_job_that_rules_look_for_is_the_service_that_is_scraped(helm):
    rendered = helm.render(MONITORING)
    service = rendered.of("Service", "-metrics")
    monitor = rendered.of("ServiceMonitor")["spec"]
    assert service["metadata"]["name"] == "cascade-operator-metrics"
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    others = [one for one in rendered.all("Service") if one is not service]
    for other in others:
        assert not monitor["selector"]["matchLabels"].items() <= other["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [one["name"] for one in service["spec"]["ports"]]


def test_alerts_can_be_left_out_and_matched_otherwise(helm):
    values = {
        "prometheusRule.enabled": True,
        "prometheusRule.disabled": ["CascadeSessionsPending"],
        "prometheusRule.selector": 'cluster="a"',
        "prometheusRule.runbookUrl": "https://wiki.example.com/",
    }
    (group,) = helm.render(values).of("PrometheusRule")["spec"]["groups"]
    assert len(group["rules"]) == len(ALERTS) - 1
    assert group["rules"][0]["expr"] == 'absent(cascade_operator_leader{cluster="a"})'
    url = group["rules"][0]["annotations"]["runbook_url"]
    assert url == "https://wiki.example.com/cascadeoperatordown"


def test_the_dashboard_comes_through_as_it_is(helm):
    found = helm.render(MONITORING).of("ConfigMap", "-dashboard")
    assert json.loads(found["data"]["cascade-operator.json"]) == DASHBOARD
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
