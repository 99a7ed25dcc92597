{{/* Names, labels, images and addresses. Nothing here looks anything up: a render is the same each time. */}}

{{- define "cascade-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the longest suffix and for the labels that a StatefulSet gives its pods. */}}
{{- define "cascade-operator.fullname" -}}
{{- $name := include "cascade-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cascade-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cascade-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What selects pods: it may never change, so no version is in it. Takes a list of the root and the component. */}}
{{- define "cascade-operator.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "cascade-operator.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Of the servers' pods: an upgrade of the chart alone starts none of them anew, and no training waits. */}}
{{- define "cascade-operator.podLabels" -}}
{{ include "cascade-operator.selectorLabels" . }}
app.kubernetes.io/part-of: {{ (index . 0).Chart.Name }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cascade-operator.labels" -}}
{{- $root := index . 0 -}}
{{ include "cascade-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes a list of the image's values and the tag where they name none. */}}
{{- define "cascade-operator.image" -}}
{{- $image := index . 0 }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) }}
{{- end }}
{{- end }}

{{- define "cascade-operator.redisUrl" -}}
{{- if .Values.redis.enabled }}
{{- printf "redis://%s-redis.%s.svc:6379" (include "cascade-operator.fullname" .) .Release.Namespace }}
{{- else }}
{{- .Values.redis.url }}
{{- end }}
{{- end }}

{{- define "cascade-operator.ollamaUrl" -}}
{{- if .Values.ollama.enabled }}
{{- printf "http://%s-ollama.%s.svc:11434" (include "cascade-operator.fullname" .) .Release.Namespace }}
{{- else }}
{{- .Values.ollama.url }}
{{- end }}
{{- end }}

{{- define "cascade-operator.taskEndpoint" -}}
{{- default (include "cascade-operator.ollamaUrl" .) .Values.models.task.endpoint }}
{{- end }}

{{- define "cascade-operator.embeddingEndpoint" -}}
{{- default (include "cascade-operator.ollamaUrl" .) .Values.models.embedding.endpoint }}
{{- end }}

{{/* The port of an address: http://host:1234/v1 -> 1234, else that of its scheme. */}}
{{- define "cascade-operator.port" -}}
{{- $host := (urlParse .).host }}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" }}
{{- if $port }}
{{- $port }}
{{- else }}
{{- get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") (urlParse .).scheme }}
{{- end }}
{{- end }}

{{/* What the scheduler is told: takes the values that have it. */}}
{{- define "cascade-operator.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes the weight. What has failed stays to be looked at, until the next test. */}}
{{- define "cascade-operator.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
