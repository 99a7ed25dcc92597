{{/* Gets each model that is not on the volume yet; a start without network goes on with what is there. */}}
{{- define "cascade-operator.ollamaModels" -}}
set -eu
# Nobody is served before everything is there.
OLLAMA_HOST=127.0.0.1:11434
export OLLAMA_HOST
ollama serve &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true' EXIT
tries=0
until ollama list >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then echo "the server does not start" >&2; exit 1; fi
  sleep 1
done
{{- range $number, $model := .Values.ollama.models }}
{{- if $model.modelfile }}
# Made anew at each start: a changed modelfile counts, and what has not changed is not written again.
ollama create {{ $model.name | squote }} -f /etc/ollama/modelfile-{{ $number }}
{{- else }}
ollama show {{ $model.name | squote }} >/dev/null 2>&1 || ollama pull {{ $model.name | squote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cascade-operator.ollamaAnswers" -}}
set -eu
ollama list >/dev/null
{{- range .Values.ollama.models }}
ollama show {{ .name | squote }} >/dev/null
{{- end }}
{{- end }}

{{/* The part that both containers share. */}}
{{- define "cascade-operator.ollamaContainer" -}}
image: {{ include "cascade-operator.image" (list .Values.ollama.image "latest") }}
imagePullPolicy: {{ .Values.ollama.image.pullPolicy }}
env:
  - name: OLLAMA_HOST
    value: 0.0.0.0:11434
  - name: OLLAMA_MODELS
    value: /models
  # Keys and caches of the server; the root is read-only.
  - name: HOME
    value: /tmp
  {{- with .Values.ollama.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .Values.ollama.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: models
    mountPath: /models
  - name: tmp
    mountPath: /tmp
  - name: config
    mountPath: /etc/ollama
    readOnly: true
  {{- with .Values.ollama.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
