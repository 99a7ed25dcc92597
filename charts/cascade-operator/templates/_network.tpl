{{/* Parts of the network policies. */}}

{{/* The operator gives every worker this label, and nobody else has it. */}}
{{- define "cascade-operator.workerSelector" -}}
matchExpressions:
  - key: cascade-operator.dev/session-uid
    operator: Exists
{{- end }}

{{- define "cascade-operator.fromWorkers" -}}
- namespaceSelector: {}
  podSelector:
    {{- include "cascade-operator.workerSelector" . | nindent 4 }}
{{- end }}

{{- define "cascade-operator.dnsEgress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}

{{/* To one of the servers of this release. Takes a list of the root, the component and the port. */}}
{{- define "cascade-operator.serverEgress" -}}
- ports:
    - port: {{ index . 2 }}
  to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ (index . 0).Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "cascade-operator.selectorLabels" (list (index . 0) (index . 1)) | nindent 10 }}
{{- end }}

{{- define "cascade-operator.redisEgress" -}}
{{- if .Values.redis.enabled }}
{{- include "cascade-operator.serverEgress" (list . "redis" 6379) }}
{{- else -}}
- ports:
    - port: {{ include "cascade-operator.port" .Values.redis.url }}
{{- end }}
{{- end }}

{{- define "cascade-operator.modelsEgress" -}}
{{- $ports := list }}
{{- $own := include "cascade-operator.ollamaUrl" . }}
{{- range list (include "cascade-operator.taskEndpoint" .) (include "cascade-operator.embeddingEndpoint" .) }}
{{- if not (and $.Values.ollama.enabled (eq . $own)) }}
{{- $ports = append $ports (include "cascade-operator.port" .) }}
{{- end }}
{{- end }}
{{- if .Values.ollama.enabled }}
{{- include "cascade-operator.serverEgress" (list . "ollama" 11434) }}
{{- end }}
{{- range uniq $ports }}
- ports:
    - port: {{ . }}
{{- end }}
{{- end }}
