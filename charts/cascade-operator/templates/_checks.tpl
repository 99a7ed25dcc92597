{{/* What the schema cannot say: values that contradict each other. */}}
{{- define "cascade-operator.checks" -}}
{{- $values := .Values }}
{{- if and (gt (int $values.replicaCount) 1) (not $values.leaderElection.enabled) }}
{{- fail (printf "replicaCount is %d and leaderElection.enabled is false: both replicas would work; set leaderElection.enabled=true" (int $values.replicaCount)) }}
{{- end }}
{{- with $values.leaderElection }}
{{- if ge (int .renewDeadlineSeconds) (int .leaseDurationSeconds) }}
{{- fail (printf "leaderElection.renewDeadlineSeconds (%d) has to be less than leaseDurationSeconds (%d)" (int .renewDeadlineSeconds) (int .leaseDurationSeconds)) }}
{{- end }}
{{- if gt (mul 2 (int .retryPeriodSeconds)) (int .renewDeadlineSeconds) }}
{{- fail (printf "leaderElection.retryPeriodSeconds (%d) has to be at most half of renewDeadlineSeconds (%d)" (int .retryPeriodSeconds) (int .renewDeadlineSeconds)) }}
{{- end }}
{{- end }}
{{- if and $values.redis.enabled $values.redis.url }}
{{- fail "redis.url names a Redis of your own and redis.enabled is true: set redis.enabled=false" }}
{{- end }}
{{- if not (or $values.redis.enabled $values.redis.url) }}
{{- fail "no Redis: set redis.url to the address of yours, or redis.enabled=true" }}
{{- end }}
{{- if and $values.ollama.enabled $values.ollama.url }}
{{- fail "ollama.url names a server of your own and ollama.enabled is true: set ollama.enabled=false" }}
{{- end }}
{{- if not (include "cascade-operator.taskEndpoint" .) }}
{{- fail "no model server: set ollama.enabled=true, ollama.url or models.task.endpoint" }}
{{- end }}
{{- if not (include "cascade-operator.embeddingEndpoint" .) }}
{{- fail "no embedding server: set ollama.enabled=true, ollama.url or models.embedding.endpoint" }}
{{- end }}
{{- if eq (int $values.metrics.port) 8081 }}
{{- fail "metrics.port = 8081 is the probes' port: choose another" }}
{{- end }}
{{- end }}
