"""The renderings that all have to hold: the defaults, production, and each toggle."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chart.helm import PRODUCTION

OWN = {"redis.enabled": False, "redis.url": "rediss://redis.data.svc:6380/1"}
OWN_MODELS = {"ollama.enabled": False, "ollama.url": "http://ollama.models.svc:11434"}
MONITORING = {
    "serviceMonitor.enabled": True,
    "serviceMonitor.labels": {"release": "prometheus"},
    "serviceMonitor.relabelings": [{"action": "labeldrop", "regex": "pod"}],
    "serviceMonitor.metricRelabelings": [{"action": "drop", "regex": "x"}],
    "prometheusRule.enabled": True,
    "prometheusRule.labels": {"release": "prometheus"},
    "dashboard.enabled": True,
    "dashboard.annotations": {"grafana_folder": "ML"},
}
POD = {
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "ml"},
    "commonLabels": {"cost": "ml"},
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"team": "ml"}},
        }
    ],
    "priorityClassName": "high",
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount.annotations": {"a": "b"},
    "metrics.serviceAnnotations": {"a": "b"},
    "metrics.port": 9090,
}
SERVERS = {
    "redis.existingSecret": "redis-password",
    "redis.extraConfig": "tcp-keepalive 60\n",
    "redis.storage.storageClass": "fast",
    "redis.podAnnotations": {"a": "b"},
    "redis.tolerations": [{"key": "a", "operator": "Exists"}],
    "redis.priorityClassName": "high",
    "ollama.storage.storageClass": "fast",
    "ollama.runtimeClassName": "nvidia",
    "ollama.resources": {"limits": {"nvidia.com/gpu": 1}},
    "ollama.podAnnotations": {"a": "b"},
    "ollama.extraEnv": [{"name": "OLLAMA_NUM_PARALLEL", "value": "4"}],
    "ollama.extraVolumes": [{"name": "weights", "emptyDir": {}}],
    "ollama.extraVolumeMounts": [{"name": "weights", "mountPath": "/weights"}],
    "ollama.models": [
        {"name": "tiny", "modelfile": "FROM /weights/tiny.gguf\nPARAMETER num_ctx 512\n"},
        {"name": "nomic-embed-text:v1.5"},
    ],
}


@dataclass(frozen=True)
class Case:
    """One rendering.

    Attributes:
        id: For a reader.
        values: Over the defaults.
        files: Values before these.
    """

    id: str
    values: dict[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


CASES = (
    Case("defaults"),
    Case("production", files=(PRODUCTION,)),
    Case("own-redis", OWN),
    Case("own-models", OWN_MODELS),
    Case(
        "openai",
        {
            **OWN_MODELS,
            "models.task": {
                "endpoint": "https://llm.example.com/v1",
                "provider": "OpenAI",
                "model": "m",
            },
            "models.embedding": {"endpoint": "", "provider": "Ollama", "model": "nomic"},
        },
    ),
    Case("namespaced", {"watchNamespaces": ["ml", "vision"], "crds.enabled": False}),
    Case("two-replicas", {"replicaCount": 2}),
    Case("no-election", {"leaderElection.enabled": False}),
    Case("no-crds", {"crds.enabled": False}),
    Case("crds-not-kept", {"crds.keep": False}),
    Case("no-rbac", {"rbac": {"create": False, "aggregateClusterRoles": False}}),
    Case("own-account", {"serviceAccount": {"create": False, "name": "mine"}}),
    Case("monitoring", MONITORING),
    Case("network", {"networkPolicy.enabled": True}),
    Case(
        "network-all",
        {
            **OWN,
            "watchNamespaces": ["ml"],
            "networkPolicy": {
                "enabled": True,
                "metricsFrom": [{"namespaceSelector": {}}],
                "operatorExtraEgress": [{"ports": [{"port": 3128}]}],
                "workerExtraEgress": [{"ports": [{"port": 443}]}],
                "workerNamespaces": ["ml", "more"],
            },
        },
    ),
    Case("network-without-workers", {"networkPolicy": {"enabled": True, "workers": False}}),
    Case("pod", POD),
    Case("servers", SERVERS),
    Case(
        "extra-objects",
        {
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: '{{ .Release.Name }}-two'\n",
            ]
        },
    ),
    Case("no-test", {"test.enabled": False}),
    Case("digests", {"image.digest": f"sha256:{'0' * 64}", "workerImage.tag": "1.2"}),
    Case("names", {"fullnameOverride": "trainer", "nameOverride": "t"}),
)
