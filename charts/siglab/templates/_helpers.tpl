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

{{/* Annotations of every object: commonAnnotations and those of the object. Takes a dict of root and extra. */}}
{{- define "siglab.annotations" -}}
{{- with merge (dict) (.extra | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
