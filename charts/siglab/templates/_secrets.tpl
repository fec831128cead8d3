{{/*
Credentials.

Each of the four (auth, mysql, mongo, redis) comes from a Secret that the installer names, or from one that this chart
generates. A generated one is read back with lookup at every later rendering, so it is made once; the resource policy
"keep" saves it from an uninstall.

lookup finds nothing when there is no cluster (helm template, GitOps tools that render and apply). Random values
would then be other ones at each rendering, and lock the service out of its own databases. So the chart asks whether a
cluster answers before it makes anything up: every namespace of a cluster holds the ConfigMap kube-root-ca.crt, and
where the namespace is yet to be made (--create-namespace), the namespace kube-system can be seen. `helm lint` ignores
the refusal, which is what lets it check the default values.
*/}}

{{/* "yes" when a cluster answers this rendering. */}}
{{- define "siglab.cluster" -}}
{{- if lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}
yes
{{- else if lookup "v1" "Namespace" "" "kube-system" -}}
yes
{{- end }}
{{- end }}

{{/* What each Secret must hold, as YAML: part -> value that names it, its name if given, whether the chart may
     generate it, and its keys with how each is made ("jwt", "password", "=text"). A part that needs none is left out. */}}
{{- define "siglab.secretSpecs" -}}
auth:
  value: auth.existingSecret
  existing: {{ .Values.auth.existingSecret | quote }}
  bundled: true
  keys:
    {{ .Values.auth.keys.jwtKeys }}: jwt
    {{ .Values.auth.keys.adminUsername }}: {{ printf "=%s" .Values.auth.adminUsername | quote }}
    {{ .Values.auth.keys.adminPassword }}: password
mysql:
  value: mysql.auth.existingSecret
  existing: {{ .Values.mysql.auth.existingSecret | quote }}
  bundled: {{ and .Values.mysql.enabled (not .Values.mysql.auth.migrateUsername) }}
  keys:
    {{ .Values.mysql.auth.keys.password }}: password
    {{- if .Values.mysql.enabled }}
    {{ .Values.mysql.auth.keys.rootPassword }}: password
    {{- end }}
    {{- if .Values.mysql.auth.migrateUsername }}
    {{ .Values.mysql.auth.keys.migratePassword }}: password
    {{- end }}
{{- if or .Values.mongo.enabled .Values.mongo.auth.enabled }}
mongo:
  value: mongo.auth.existingSecret
  existing: {{ .Values.mongo.auth.existingSecret | quote }}
  bundled: {{ .Values.mongo.enabled }}
  keys:
    {{ ternary .Values.mongo.auth.keys.password (.Values.mongo.auth.keys.uri | default .Values.mongo.auth.keys.password) .Values.mongo.enabled }}: password
{{- end }}
{{- if or .Values.redis.enabled .Values.redis.auth.enabled }}
redis:
  value: redis.auth.existingSecret
  existing: {{ .Values.redis.auth.existingSecret | quote }}
  bundled: {{ .Values.redis.enabled }}
  keys:
    {{ ternary .Values.redis.auth.keys.password (.Values.redis.auth.keys.url | default .Values.redis.auth.keys.password) .Values.redis.enabled }}: password
{{- end }}
{{- end }}

{{/* Decides every credential once per rendering, since random values asked for twice would differ, and leaves the
     outcome in .Values._secrets: part -> {name, generated, data}. data is nil for a named Secret that cannot be read. */}}
{{- define "siglab.loadSecrets" -}}
{{- if not (hasKey .Values "_secrets") }}
{{- $root := . }}
{{- $cluster := include "siglab.cluster" . }}
{{- $out := dict }}
{{- $wanted := list }}
{{- range $part, $spec := include "siglab.secretSpecs" . | fromYaml }}
  {{- if $spec.existing }}
    {{- $data := dict }}
    {{- if $cluster }}
      {{- $found := lookup "v1" "Secret" $root.Release.Namespace $spec.existing }}
      {{- if not $found }}
        {{- fail (printf "Secret %q, which %s names, is not in namespace %q. Create it with the keys %s." $spec.existing $spec.value $root.Release.Namespace (keys $spec.keys | sortAlpha | join ", ")) }}
      {{- end }}
      {{- $data = $found.data | default dict }}
      {{- range $key := keys $spec.keys | sortAlpha }}
        {{- if not (get $data $key) }}
          {{- fail (printf "Secret %q, which %s names, has no key %q (or an empty one)." $spec.existing $spec.value $key) }}
        {{- end }}
      {{- end }}
    {{- end }}
    {{- $_ := set $out $part (dict "name" $spec.existing "generated" false "data" $data) }}
  {{- else if not $spec.bundled }}
    {{- $wanted = append $wanted (printf "%s (keys: %s; the chart makes up no password for an account that it does not create)" $spec.value (keys $spec.keys | sortAlpha | join ", ")) }}
  {{- else }}
    {{- if not $cluster }}
      {{- $wanted = append $wanted (printf "%s (keys: %s)" $spec.value (keys $spec.keys | sortAlpha | join ", ")) }}
    {{- end }}
    {{- $name := printf "%s-%s" (include "siglab.fullname" $root) $part }}
    {{- $found := lookup "v1" "Secret" $root.Release.Namespace $name | default dict }}
    {{- $old := $found.data | default dict }}
    {{- $data := dict }}
    {{- range $key, $how := $spec.keys }}
      {{- if get $old $key }}
        {{- $_ := set $data $key (get $old $key) }}
      {{- else if eq $how "jwt" }}
        {{- $_ := set $data $key (printf "%s:%s" (randAlphaNum 8 | lower) (randBytes 32) | b64enc) }}
      {{- else if hasPrefix "=" $how }}
        {{- $_ := set $data $key (trimPrefix "=" $how | b64enc) }}
      {{- else }}
        {{- $_ := set $data $key (randAlphaNum 32 | b64enc) }}
      {{- end }}
    {{- end }}
    {{- $_ := set $out $part (dict "name" $name "generated" true "data" $data) }}
  {{- end }}
{{- end }}
{{- if $wanted }}
  {{- $why := "" }}
  {{- if not $cluster }}
    {{- $why = " No cluster answers this rendering (helm template, or a GitOps tool), so the chart could neither keep nor read back credentials that it makes up." }}
  {{- end }}
  {{- fail (printf "Name Secrets that hold the credentials: %s.%s" (join "; " $wanted) $why) }}
{{- end }}
{{- $_ := set .Values "_secrets" $out }}
{{- end }}
{{- end }}

{{/* Name of the Secret of one part. Takes a dict of root and part. */}}
{{- define "siglab.secretName" -}}
{{- include "siglab.loadSecrets" .root }}
{{- dig .part "name" "" .root.Values._secrets }}
{{- end }}

{{/* One checksum over all credentials, which rolls the pods when one changes. */}}
{{- define "siglab.secretsChecksum" -}}
{{- include "siglab.loadSecrets" . }}
{{- toJson .Values._secrets | sha256sum }}
{{- end }}

{{/* The sources of the volume that shows the credentials as files, one a credential. */}}
{{- define "siglab.secretSources" -}}
{{- $v := .Values }}
- secret:
    name: {{ include "siglab.secretName" (dict "root" . "part" "auth") }}
    items:
      - {key: {{ $v.auth.keys.jwtKeys }}, path: jwt-keys}
      - {key: {{ $v.auth.keys.adminPassword }}, path: admin-password}
- secret:
    name: {{ include "siglab.secretName" (dict "root" . "part" "mysql") }}
    items:
      - {key: {{ $v.mysql.auth.keys.password }}, path: mysql-password}
{{- with include "siglab.secretName" (dict "root" . "part" "mongo") }}
- secret:
    name: {{ . }}
    items:
      {{- if and $v.mongo.auth.keys.uri (not $v.mongo.enabled) }}
      - {key: {{ $v.mongo.auth.keys.uri }}, path: mongo-uri}
      {{- else }}
      - {key: {{ $v.mongo.auth.keys.password }}, path: mongo-password}
      {{- end }}
{{- end }}
{{- with include "siglab.secretName" (dict "root" . "part" "redis") }}
- secret:
    name: {{ . }}
    items:
      {{- if and $v.redis.auth.keys.url (not $v.redis.enabled) }}
      - {key: {{ $v.redis.auth.keys.url }}, path: redis-url}
      {{- else }}
      - {key: {{ $v.redis.auth.keys.password }}, path: redis-password}
      {{- end }}
{{- end }}
{{- end }}
