"""What each value does to the objects: a table of them, and what hangs together."""

from __future__ import annotations

import os
import subprocess

import pytest
import yaml
from typer.testing import CliRunner

from cascade_operator.cli.app import app
from cascade_operator.control.manifests.labels import SESSION_UID
from cascade_operator.control.manifests.rbac import (
    CLAIM_RULES,
    EDIT_RULES,
    VIEW_RULES,
    WORK_RULES,
    YIELD_RULES,
    lease_rules,
)
from cascade_operator.control.runtime import process
from chart.helm import CHART
from chart.renderings import OWN, OWN_MODELS, SERVERS

ROOT = CHART.parents[1]
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
NAMESPACED = {"watchNamespaces": ["ml", "vision"], "crds.enabled": False}


def manifests(*rules):
    return [rule.manifest() for rule in rules]


def settings(rendered, monkeypatch):
    """What the operator's own command makes of the rendered environment."""
    name = rendered.of("Deployment")["metadata"]["name"]
    environment = rendered.of("ConfigMap", name)["data"]
    started = []
    monkeypatch.setattr(process, "run", lambda made: started.append(made) or 0)
    clean = {k: None for k in os.environ if k.startswith("CASCADE_")}
    done = CliRunner().invoke(app, ["operator"], env={**clean, **environment})
    assert done.exit_code == 0, done.output
    return started[0]


def operator_pod(rendered):
    return rendered.of("Deployment")["spec"]["template"]["spec"]


def operator_container(rendered):
    (container,) = operator_pod(rendered)["containers"]
    return container


@pytest.mark.parametrize(
    ("values", "there", "gone"),
    [
        pytest.param(
            {},
            {"StatefulSet", "ClusterRole", "CustomResourceDefinition"},
            {"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"},
            id="defaults",
        ),
        pytest.param({**OWN, **OWN_MODELS}, {"Deployment"}, {"StatefulSet"}, id="own servers"),
        pytest.param({"crds.enabled": False}, set(), {"CustomResourceDefinition"}, id="no CRD"),
        pytest.param(
            {"rbac.create": False, "test.enabled": False, "rbac.aggregateClusterRoles": False},
            {"ServiceAccount"},
            {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Pod"},
            id="no roles",
        ),
        pytest.param({"replicaCount": 2}, {"PodDisruptionBudget"}, set(), id="two replicas"),
        pytest.param(
            {"replicaCount": 2, "podDisruptionBudget.enabled": False},
            set(),
            {"PodDisruptionBudget"},
            id="no budget",
        ),
        pytest.param(
            {"serviceMonitor.enabled": True}, {"ServiceMonitor"}, {"PrometheusRule"}, id="monitor"
        ),
        pytest.param({"networkPolicy.enabled": True}, {"NetworkPolicy"}, set(), id="network"),
        pytest.param({"test.enabled": False}, set(), {"Pod"}, id="no test"),
        pytest.param(NAMESPACED, {"Role", "RoleBinding"}, CLUSTER_SCOPED, id="namespaced"),
    ],
)
def test_what_is_there(helm, values, there, gone):
    kinds = helm.render(values).kinds()
    assert there <= kinds
    assert not gone & kinds


def test_the_crd_is_that_of_the_models(helm):
    rendered = helm.render().of("CustomResourceDefinition")
    file = ROOT / "crds" / "cascade-operator.dev_trainingsessions.yaml"
    source = yaml.safe_load(file.read_text())
    assert rendered["spec"] == source["spec"]
    assert rendered["metadata"]["name"] == source["metadata"]["name"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert (
        "annotations"
        not in helm.render({"crds.keep": False}).of("CustomResourceDefinition")["metadata"]
    )


def test_the_roles_are_those_of_the_code(helm):
    rendered = helm.render(namespace="ops")
    work = rendered.of("ClusterRole", "ops-cascade-operator")
    assert work["rules"] == manifests(*WORK_RULES, *YIELD_RULES)
    leader = rendered.of("Role", "-leader")
    assert leader["rules"] == manifests(*lease_rules("cascade-operator"))
    assert leader["metadata"]["namespace"] == "ops"
    viewer, editor = (rendered.of("ClusterRole", one) for one in ("-viewer", "-editor"))
    assert viewer["rules"] == manifests(*VIEW_RULES)
    assert editor["rules"] == manifests(*EDIT_RULES)
    join = "rbac.authorization.k8s.io/aggregate-to-"
    joins = [
        {key.removeprefix(join) for key in one["metadata"]["labels"] if key.startswith(join)}
        for one in (viewer, editor)
    ]
    assert joins == [{"view", "edit", "admin"}, {"edit", "admin"}]


def test_named_namespaces_have_a_role_each_and_the_lease_is_where_the_operator_is(helm):
    rendered = helm.render(NAMESPACED, namespace="ops")
    roles = [
        (one["metadata"]["namespace"], one["rules"])
        for one in rendered.all("Role", "ops-cascade-operator")
    ]
    rules = manifests(*WORK_RULES, *CLAIM_RULES)
    assert roles == [("ml", rules), ("vision", rules)]
    places = {
        (one["metadata"]["namespace"], one["subjects"][0]["namespace"])
        for one in rendered.all("RoleBinding", "ops-cascade-operator")
    }
    assert places == {("ml", "ops"), ("vision", "ops")}
    assert rendered.of("Role", "-leader")["metadata"]["namespace"] == "ops"
    viewers = rendered.all("Role", "-viewer")
    assert [one["metadata"]["namespace"] for one in viewers] == ["ml", "vision"]


def test_without_election_no_right_on_leases_is_asked(helm):
    for values in ({}, NAMESPACED):
        rendered = helm.render({**values, "leaderElection.enabled": False})
        assert "leases" not in rendered.text


def test_the_bindings_are_of_the_account_that_the_pod_has(helm):
    for values, name in (
        ({}, "cascade-operator"),
        ({"serviceAccount.name": "mine"}, "mine"),
        ({"serviceAccount": {"create": False, "name": "mine"}}, "mine"),
        ({"serviceAccount.create": False}, "default"),
    ):
        rendered = helm.render(values)
        assert operator_pod(rendered)["serviceAccountName"] == name
        for kind in ("ClusterRoleBinding", "RoleBinding"):
            for one in rendered.all(kind):
                if not one["metadata"]["name"].endswith("-test"):
                    assert [who["name"] for who in one["subjects"]] == [name]


def test_the_operator_takes_every_setting_it_is_given(helm, monkeypatch):
    made = settings(helm.render(), monkeypatch)
    assert made.namespaces == ()
    assert (made.lease.name, made.lease.namespace) == ("cascade-operator", "cascade-system")
    assert made.defaults.image == "cascade-operator-worker:0.1.0"
    assert made.defaults.redis_url == "redis://cascade-operator-redis.cascade-system.svc:6379"
    ollama = "http://cascade-operator-ollama.cascade-system.svc:11434"
    assert made.defaults.task_endpoint == made.defaults.embedding_endpoint == ollama
    assert (made.defaults.task_model, made.defaults.task_provider) == ("", None)
    values = {
        **NAMESPACED,
        **OWN,
        "ollama.enabled": False,
        "models.task.endpoint": "https://llm.example.com/v1",
        "models.task.provider": "OpenAI",
        "models.task.model": "m",
        "models.embedding.endpoint": "http://e:1",
        "models.embedding.provider": "Ollama",
        "models.embedding.model": "n",
        "operator": {
            "workers": 4,
            "resyncSeconds": 60,
            "figuresSeconds": 5,
            "logLevel": "debug",
            "logFormat": "text",
        },
        "leaderElection.leaseDurationSeconds": 30,
        "leaderElection.renewDeadlineSeconds": 20,
        "terminationGracePeriodSeconds": 60,
        "fullnameOverride": "trainer",
        "metrics.port": 9090,
        "workerImage.repository": "registry.example.com/w",
        "workerImage.digest": f"sha256:{'a' * 64}",
    }
    made = settings(helm.render(values, namespace="ops"), monkeypatch)
    assert made.namespaces == ("ml", "vision")
    assert (made.lease.name, made.lease.namespace) == ("trainer", "ops")
    assert (made.workers, made.resync_seconds, made.exit_seconds) == (4, 60, 55)
    assert made.figures_seconds == 5
    assert (made.log_level, made.log_format) == ("debug", "text")
    assert (made.lease.duration_seconds, made.lease.renew_seconds) == (30, 20)
    assert (made.health_port, made.metrics_port) == (8081, 9090)
    assert made.defaults.image == f"registry.example.com/w@sha256:{'a' * 64}"
    assert made.defaults.redis_url == "rediss://redis.data.svc:6380/1"
    assert (made.defaults.task_endpoint, made.defaults.task_provider, made.defaults.task_model) == (
        *("https://llm.example.com/v1", "OpenAI", "m"),
    )
    assert (made.defaults.embedding_endpoint, made.defaults.embedding_model) == ("http://e:1", "n")


def test_the_operator_ends_before_the_kubelet_ends_it(helm, monkeypatch):
    for grace in (10, 30, 300):
        rendered = helm.render({"terminationGracePeriodSeconds": grace})
        pod = operator_pod(rendered)
        assert settings(rendered, monkeypatch).exit_seconds < pod["terminationGracePeriodSeconds"]


def test_one_replica_is_replaced_and_two_are_rolled(helm):
    one, two = (helm.render({"replicaCount": n}).of("Deployment")["spec"] for n in (1, 2))
    assert one["strategy"] == {"type": "Recreate"}
    assert two["strategy"]["type"] == "RollingUpdate"
    assert two["replicas"] == 2


def test_changed_settings_start_the_pod_anew_and_nothing_else_does(helm):
    def checksums(**values):
        rendered = helm.render({key.replace("__", "."): value for key, value in values.items()})
        return [
            one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for kind in ("Deployment", "StatefulSet")
            for one in rendered.all(kind)
        ]

    before = checksums()
    assert len({*before}) == 3
    assert checksums(operator__workers=4)[0] != before[0]
    assert checksums(operator__workers=4)[1:] == before[1:]
    assert checksums(redis__maxMemory="1gb")[2] != before[2]
    assert checksums(ollama__models=[{"name": "x"}])[1] != before[1]
    assert checksums(prometheusRule__enabled=True, crds__keep=False) == before


def test_an_upgrade_of_the_chart_alone_starts_no_server_anew(helm, tmp_path):
    newer = tmp_path / "cascade-operator"
    subprocess.run(["cp", "-r", CHART, newer], check=True)
    file = newer / "Chart.yaml"
    file.write_text(file.read_text().replace("0.1.0", "0.2.0"))
    old, new = helm.render(), helm.render(chart=newer)
    for ending in ("-redis", "-ollama"):
        assert old.of("StatefulSet", ending)["spec"] == new.of("StatefulSet", ending)["spec"]
    assert operator_container(new)["image"] == "cascade-operator:0.2.0"


def test_a_password_is_taken_from_the_secret_and_never_written(helm):
    plain = helm.render()
    assert "env" not in operator_container(plain)
    assert "requirepass" not in plain.text
    rendered = helm.render(SERVERS)
    (password,) = operator_container(rendered)["env"]
    assert password["valueFrom"] == {"secretKeyRef": {"name": "redis-password", "key": "password"}}
    redis = rendered.of("StatefulSet", "-redis")["spec"]["template"]["spec"]
    (volume,) = [one for one in redis["volumes"] if "secret" in one]
    assert volume["secret"]["secretName"] == "redis-password"


def test_redis_keeps_results_and_drops_the_cache_first(helm):
    conf = helm.render(SERVERS).of("ConfigMap", "-redis")["data"]["redis.conf"]
    lines = conf.splitlines()
    assert "maxmemory-policy volatile-ttl" in lines
    assert "appendonly yes" in lines
    assert "maxmemory 512mb" in lines
    assert "tcp-keepalive 60" in lines


def test_what_models_are_pulled_made_and_waited_for(helm):
    rendered = helm.render(SERVERS)
    data = rendered.of("ConfigMap", "-ollama")["data"]
    assert "ollama create 'tiny' -f /etc/ollama/modelfile-0" in data["models.sh"]
    assert "ollama pull 'nomic-embed-text:v1.5'" in data["models.sh"]
    assert "pull 'tiny'" not in data["models.sh"]
    assert data["modelfile-0"] == "FROM /weights/tiny.gguf\nPARAMETER num_ctx 512\n"
    pod = rendered.of("StatefulSet", "-ollama")["spec"]["template"]["spec"]
    (first,), (server,) = pod["initContainers"], pod["containers"]
    for container in (first, server):
        assert {"name": "weights", "mountPath": "/weights"} in container["volumeMounts"]
        assert {"name": "OLLAMA_NUM_PARALLEL", "value": "4"} in container["env"]
    assert server["readinessProbe"]["exec"]["command"] == ["sh", "/etc/ollama/answers.sh"]
    assert pod["runtimeClassName"] == "nvidia"


def test_policies_select_workers_by_the_operators_own_label(helm):
    rendered = helm.render({"networkPolicy.enabled": True}, namespace="ops")
    workers = rendered.of("NetworkPolicy", "-workers")
    expected = {"matchExpressions": [{"key": SESSION_UID, "operator": "Exists"}]}
    assert workers["spec"]["podSelector"] == expected
    assert workers["spec"]["ingress"] == []
    assert workers["spec"]["policyTypes"] == ["Ingress", "Egress"]
    redis = rendered.of("NetworkPolicy", "-redis")["spec"]
    assert {"namespaceSelector": {}, "podSelector": expected} in redis["ingress"][0]["from"]
    for server, port in (("redis", 6379), ("ollama", 11434)):
        pods = rendered.of("StatefulSet", f"-{server}")["spec"]["template"]["metadata"]["labels"]
        (rule,) = [one for one in workers["spec"]["egress"] if one["ports"] == [{"port": port}]]
        (to,) = rule["to"]
        assert to["podSelector"]["matchLabels"].items() <= pods.items()
        assert to["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ops"}
        assert (
            rendered.of("NetworkPolicy", f"-{server}")["spec"]["podSelector"]["matchLabels"].items()
            <= pods.items()
        )


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        pytest.param(OWN, [53, 53, 6380, 11434], id="port in the address"),
        pytest.param(
            {"redis.enabled": False, "redis.url": "redis://r"},
            [53, 53, 6379, 11434],
            id="redis' own",
        ),
        pytest.param(
            {"ollama.enabled": False, "ollama.url": "https://llm.example.com/v1"},
            [53, 53, 6379, 443],
            id="https",
        ),
        pytest.param(
            {
                "ollama.enabled": False,
                "models.task.endpoint": "http://a:1",
                "models.embedding.endpoint": "http://b",
            },
            [53, 53, 6379, 1, 80],
            id="two servers",
        ),
        pytest.param(
            {"models.task.endpoint": "http://a:1"}, [53, 53, 6379, 11434, 1], id="one besides"
        ),
        pytest.param(
            {"networkPolicy.workerExtraEgress": [{"ports": [{"port": 9}]}]},
            [53, 53, 6379, 11434, 9],
            id="more",
        ),
    ],
)
def test_workers_reach_their_servers_and_nothing_else(helm, values, ports):
    rendered = helm.render({"networkPolicy.enabled": True, **values})
    egress = rendered.of("NetworkPolicy", "-workers")["spec"]["egress"]
    assert [port["port"] for rule in egress for port in rule["ports"]] == ports


@pytest.mark.parametrize(
    ("values", "places"),
    [
        pytest.param({}, ["cascade-system"], id="its own"),
        pytest.param({"watchNamespaces": ["a", "b"]}, ["a", "b"], id="watched"),
        pytest.param({"networkPolicy.workerNamespaces": ["c"]}, ["c"], id="named"),
        pytest.param({"networkPolicy.workers": False}, [], id="none"),
    ],
)
def test_where_workers_are_restricted(helm, values, places):
    rendered = helm.render({"networkPolicy.enabled": True, **values})
    found = rendered.all("NetworkPolicy", "-workers")
    assert [one["metadata"]["namespace"] for one in found] == places


def test_extra_objects_are_rendered_as_maps_and_as_text(helm):
    case = {
        "extraObjects": [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-a"}},
            "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ .Values.replicaCount }}-b'}\n",
        ]
    }
    names = [one["metadata"]["name"] for one in helm.render(case).all("Secret")]
    assert sorted(names) == ["1-b", "cascade-operator-a"]


def test_the_test_asks_where_sessions_are_served(helm):
    for values, place in (({}, "cascade-system"), (NAMESPACED, "ml")):
        rendered = helm.render(values)
        pod = rendered.of("Pod", "-test")
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        (container,) = pod["spec"]["containers"]
        assert f"--namespace={place}" in container["args"]
        service = rendered.of("Service", "-metrics")["metadata"]["name"]
        assert f"--operator=http://{service}.cascade-system.svc:8081" in container["args"]
        assert rendered.of("Role", "-test")["metadata"]["namespace"] == place
        # A command that there is, with flags that it takes.
        assert container["command"][0] == "cascade"
        arguments = [*container["command"][1:], "--help"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0
        assert "--operator" in done.output


def test_names_are_the_releases_and_short_enough(helm):
    for release, expected in (
        ("cascade-operator", "cascade-operator"),
        ("ml", "ml-cascade-operator"),
        ("a" * 53, "a" * 40),
    ):
        rendered = helm.render(release=release)
        assert rendered.of("Deployment")["metadata"]["name"] == expected
        for one in rendered.objects:
            assert len(one["metadata"]["name"]) <= 63 or one["kind"] == "CustomResourceDefinition"
