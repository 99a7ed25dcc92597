{{/* A full server drops what expires soonest, the shared cache, and never a run's results. */}}
{{- define "cascade-operator.redisConfig" -}}
bind * -::*
port 6379
protected-mode no
dir /data
# A lost node costs a second of results; the log is the only copy, written without snapshots beside it.
appendonly yes
appendfsync everysec
save ""
maxmemory {{ .Values.redis.maxMemory }}
maxmemory-policy volatile-ttl
{{- with .Values.redis.extraConfig }}
{{ . | trim }}
{{- end }}
{{- end }}

{{- define "cascade-operator.redisStart" -}}
set -eu
umask 077
cp /etc/redis/redis.conf /run/redis/redis.conf
{{- if .Values.redis.existingSecret }}
# Quoted for redis.conf; not a flag, which a list of processes would show.
printf '\nrequirepass "%s"\n' "$(sed 's/[\\"]/\\&/g' /etc/redis-password/password)" >> /run/redis/redis.conf
{{- end }}
exec redis-server /run/redis/redis.conf
{{- end }}

{{- define "cascade-operator.redisAnswers" -}}
set -eu
{{- if .Values.redis.existingSecret }}
REDISCLI_AUTH="$(cat /etc/redis-password/password)"
export REDISCLI_AUTH
{{- end }}
test "$(redis-cli -h 127.0.0.1 ping)" = PONG
{{- end }}

{{/* Takes a dict: name, labels (text), storage. Its labels may never change, as selectors. */}}
{{- define "cascade-operator.claimTemplate" -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: {{ .name }}
      labels:
        {{- .labels | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storage.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .storage.size }}
{{- end }}
