{{/* Name of the chart, or its override. */}}
{{- define "siglab.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the release's objects; cut at 46 so that suffixes and a pod's own fit in 63. */}}
{{- define "siglab.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- $name := include "siglab.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "siglab.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "siglab.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: siglab
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that find every pod of the release. A workload's own selector adds app.kubernetes.io/component
     (api, mysql, mongo, redis, test, load-test). */}}
{{- define "siglab.selectorLabels" -}}
app.kubernetes.io/name: {{ include "siglab.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Metadata of an object: name, the common labels and annotations, and its own. Takes a dict of root and name, and
     where wanted component, labels and annotations. */}}
{{- define "siglab.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "siglab.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Name of the Middleware that lets Traefik try another pod. */}}
{{- define "siglab.retryName" -}}
{{ include "siglab.fullname" . }}-retry
{{- end }}

{{/* Image of the service. */}}
{{- define "siglab.image" -}}
{{- include "siglab.imageRef" (dict "image" .Values.image "tag" (.Values.image.tag | default .Chart.AppVersion)) }}
{{- end }}

{{/* repository@digest, or repository:tag. Takes a dict of image and tag. */}}
{{- define "siglab.imageRef" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository .tag }}
{{- end }}
{{- end }}

{{/* ServiceAccount of the release's pods. */}}
{{- define "siglab.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "siglab.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What every pod of the release says of itself: account, pull secrets, placement. */}}
{{- define "siglab.podCommon" -}}
serviceAccountName: {{ include "siglab.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted", as a pod with the given numeric user needs it. Takes the user. */}}
{{- define "siglab.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Pod Security "restricted", as a container needs it, and a root that nobody writes to. */}}
{{- define "siglab.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Seconds between SIGTERM and SIGKILL: what the service may need to drain, to finish a request and to close. */}}
{{- define "siglab.gracePeriod" -}}
{{- add .Values.config.drainDelaySeconds .Values.config.timeoutSeconds .Values.terminationMarginSeconds }}
{{- end }}

{{/* Nine tenths of the memory limit in bytes, so that the collector works harder before the kernel kills; empty without
     a limit, or with one in a form that is not whole Ki, Mi, Gi, k, M, G or bytes. */}}
{{- define "siglab.goMemLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 }}
{{- if regexMatch "^[0-9]+(k|M|G|Ki|Mi|Gi)?$" $limit }}
{{- $n := regexFind "^[0-9]+" $limit | int64 }}
{{- $unit := get $units (regexFind "[a-zA-Z]*$" $limit) | int64 }}
{{- div (mul $n $unit 9) 10 }}
{{- end }}
{{- end }}

{{/* Pods above the wanted number during a rollout, as a number, percentages rounded up as Kubernetes does. */}}
{{- define "siglab.surge" -}}
{{- $surge := .Values.updateStrategy.maxSurge | toString }}
{{- if hasSuffix "%" $surge }}
{{- divf (mulf (trimSuffix "%" $surge | float64) (include "siglab.maxReplicas" . | float64)) 100.0 | ceil | int }}
{{- else }}
{{- $surge }}
{{- end }}
{{- end }}

{{/* The most replicas that are ever wanted. */}}
{{- define "siglab.maxReplicas" -}}
{{- ternary .Values.autoscaling.maxReplicas .Values.replicaCount .Values.autoscaling.enabled }}
{{- end }}

{{/* Hosts of the stores. */}}
{{- define "siglab.mysqlHost" -}}
{{- if .Values.mysql.enabled }}{{ include "siglab.fullname" . }}-mysql{{ else }}{{ .Values.mysql.external.host }}{{ end }}
{{- end }}
{{- define "siglab.mongoHost" -}}
{{- if .Values.mongo.enabled }}{{ include "siglab.fullname" . }}-mongo{{ else }}{{ .Values.mongo.external.host }}{{ end }}
{{- end }}
{{- define "siglab.redisHost" -}}
{{- if .Values.redis.enabled }}{{ include "siglab.fullname" . }}-redis{{ else }}{{ .Values.redis.external.host }}{{ end }}
{{- end }}
{{- define "siglab.mysqlPort" -}}
{{- ternary 3306 .Values.mysql.external.port .Values.mysql.enabled }}
{{- end }}
{{- define "siglab.mongoPort" -}}
{{- ternary 27017 .Values.mongo.external.port .Values.mongo.enabled }}
{{- end }}
{{- define "siglab.redisPort" -}}
{{- ternary 6379 .Values.redis.external.port .Values.redis.enabled }}
{{- end }}

{{/* Where the service's containers find the credentials. */}}
{{- define "siglab.secretsDir" -}}
/etc/siglab/secrets
{{- end }}

{{/* The service's variables that are no secrets, the paths of the secrets' files among them. */}}
{{- define "siglab.config" -}}
{{- $v := .Values }}
{{- $dir := include "siglab.secretsDir" . -}}
HOST: 0.0.0.0
PORT: "8000"
METRICS_PORT: "9090"
LOG_LEVEL: {{ $v.config.logLevel }}
TIMEOUT: {{ $v.config.timeoutSeconds | quote }}
KEEP_ALIVE: {{ $v.config.keepAliveSeconds | quote }}
DRAIN_DELAY: {{ $v.config.drainDelaySeconds }}s
MAX_CONNECTIONS: {{ $v.config.maxConnections | int | quote }}
{{- with $v.config.workers }}
WORKERS: {{ . | quote }}
{{- end }}
REDIS_TTL: {{ $v.config.cacheTTLSeconds | quote }}
SESSION_TTL: {{ $v.config.sessionTTL }}
BCRYPT_COST: {{ $v.config.bcryptCost | quote }}
AUTH_REQUIRED: {{ $v.config.authRequired | quote }}
METRICS_PUBLIC: {{ $v.config.metricsPublic | quote }}
LOGIN_RATE_USER: {{ $v.config.loginRate.user | int | quote }}
LOGIN_RATE_ADDRESS: {{ $v.config.loginRate.address | int | quote }}
{{- with $v.config.corsOrigins }}
CORS_ORIGINS: {{ join "," . | quote }}
{{- end }}
{{- with $v.config.trustedProxies }}
TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
JWT_KEYS_FILE: {{ $dir }}/jwt-keys
ADMIN_PASSWORD_FILE: {{ $dir }}/admin-password
MYSQL_HOST: {{ include "siglab.mysqlHost" . | quote }}
MYSQL_PORT: {{ include "siglab.mysqlPort" . | quote }}
MYSQL_DATABASE: {{ $v.mysql.auth.database | quote }}
MYSQL_USER: {{ $v.mysql.auth.username | quote }}
MYSQL_PASSWORD_FILE: {{ $dir }}/mysql-password
{{- with $v.mysql.tls }}
MYSQL_TLS: {{ . | quote }}
{{- end }}
MYSQL_POOL_SIZE: {{ $v.mysql.poolSize | quote }}
MYSQL_TIMEOUT: {{ $v.mysql.timeout | quote }}
MONGO_DATABASE: {{ $v.mongo.auth.database | quote }}
{{- if and $v.mongo.auth.keys.uri (not $v.mongo.enabled) }}
MONGO_URI_FILE: {{ $dir }}/mongo-uri
{{- else }}
MONGO_HOST: {{ include "siglab.mongoHost" . | quote }}
MONGO_PORT: {{ include "siglab.mongoPort" . | quote }}
{{- if or $v.mongo.enabled $v.mongo.auth.enabled }}
MONGO_USER: {{ $v.mongo.auth.username | quote }}
MONGO_PASSWORD_FILE: {{ $dir }}/mongo-password
{{- end }}
{{- end }}
MONGO_POOL_SIZE: {{ $v.mongo.poolSize | quote }}
MONGO_TIMEOUT: {{ $v.mongo.timeout | quote }}
{{- if and $v.redis.auth.keys.url (not $v.redis.enabled) }}
REDIS_URL_FILE: {{ $dir }}/redis-url
{{- else }}
{{- if and $v.redis.external.url (not $v.redis.enabled) }}
REDIS_URL: {{ $v.redis.external.url | quote }}
{{- else }}
REDIS_HOST: {{ include "siglab.redisHost" . | quote }}
REDIS_PORT: {{ include "siglab.redisPort" . | quote }}
{{- end }}
{{- if or $v.redis.enabled $v.redis.auth.enabled }}
REDIS_PASSWORD_FILE: {{ $dir }}/redis-password
{{- end }}
{{- end }}
REDIS_POOL_SIZE: {{ $v.redis.poolSize | quote }}
REDIS_TIMEOUT: {{ $v.redis.timeout | quote }}
{{- if $v.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ $v.tracing.endpoint | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ $v.tracing.protocol | quote }}
OTEL_TRACES_SAMPLER: {{ $v.tracing.sampler | quote }}
{{- with $v.tracing.samplerArg }}
OTEL_TRACES_SAMPLER_ARG: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Variables of a container that runs the service or its migration. */}}
{{- define "siglab.env" -}}
envFrom:
  - configMapRef:
      name: {{ include "siglab.fullname" . }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: ADMIN_USERNAME
    valueFrom:
      secretKeyRef:
        name: {{ include "siglab.secretName" (dict "root" . "part" "auth") }}
        key: {{ .Values.auth.keys.adminUsername }}
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: OTEL_RESOURCE_ATTRIBUTES
    value: k8s.namespace.name={{ .Release.Namespace }},k8s.deployment.name={{ include "siglab.fullname" . }},k8s.pod.name=$(POD_NAME)
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
