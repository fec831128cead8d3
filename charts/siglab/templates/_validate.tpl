{{/* Refuses values that render but cannot work, each with a sentence that says what to change. */}}
{{- define "siglab.validate" -}}
{{- $v := .Values }}
{{- if and (not $v.mysql.enabled) (not $v.mysql.external.host) }}
  {{- fail "mysql.enabled is false, so mysql.external.host must name a MySQL." }}
{{- end }}
{{- if and (not $v.mongo.enabled) (not $v.mongo.external.host) (not $v.mongo.auth.keys.uri) }}
  {{- fail "mongo.enabled is false, so mongo.external.host must name a MongoDB, or mongo.auth.keys.uri the Secret's key with a connection string." }}
{{- end }}
{{- if and $v.mongo.auth.keys.uri (not $v.mongo.enabled) (not $v.mongo.auth.enabled) }}
  {{- fail "mongo.auth.keys.uri names a key of mongo.auth.existingSecret, so mongo.auth.enabled must be true." }}
{{- end }}
{{- if and (not $v.redis.enabled) (not $v.redis.external.host) (not $v.redis.external.url) (not $v.redis.auth.keys.url) }}
  {{- fail "redis.enabled is false, so redis.external.host or redis.external.url must name a Redis, or redis.auth.keys.url the Secret's key with a URL." }}
{{- end }}
{{- if and $v.redis.auth.keys.url (not $v.redis.enabled) (not $v.redis.auth.enabled) }}
  {{- fail "redis.auth.keys.url names a key of redis.auth.existingSecret, so redis.auth.enabled must be true." }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
  {{- fail (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- end }}
{{- $pods := add (include "siglab.maxReplicas" . | int) (include "siglab.surge" . | int) }}
{{- $connections := mul $pods $v.mysql.poolSize }}
{{- if gt (int $connections) (int $v.mysql.maxConnections) }}
  {{- fail (printf "%d pods (the most replicas, and updateStrategy.maxSurge during a rollout) with mysql.poolSize %d could open %d connections, but mysql.maxConnections is %d. Lower the pool or the replicas, or raise the server's limit and mysql.maxConnections with it." (int $pods) (int $v.mysql.poolSize) (int $connections) (int $v.mysql.maxConnections)) }}
{{- end }}
{{- if and (eq (toString $v.updateStrategy.maxSurge | trimSuffix "%") "0") (eq (toString $v.updateStrategy.maxUnavailable | trimSuffix "%") "0") }}
  {{- fail "updateStrategy.maxSurge and updateStrategy.maxUnavailable are both zero: no rollout could go on." }}
{{- end }}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}
  {{- fail "httpRoute.enabled is true, so httpRoute.parentRefs must name a Gateway." }}
{{- end }}
{{- end }}
