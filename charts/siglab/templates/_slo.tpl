{{/* Selector of this release's series, as the ServiceMonitor labels them. */}}
{{- define "siglab.series" -}}
namespace="{{ .Release.Namespace }}",job="{{ .Release.Name }}"
{{- end }}

{{/* Selector of the requests that count in the SLIs. */}}
{{- define "siglab.sliSeries" -}}
{{ include "siglab.series" . }},http_route!~"{{ .Values.slo.excludedRoutes }}"
{{- if not .Values.slo.includeSynthetic }},synthetic="false"{{ end }}
{{- end }}

{{/* The le label of the latency threshold. Prometheus 3 writes whole numbers with ".0", Prometheus 2 as the service does. */}}
{{- define "siglab.latencyBucket" -}}
{{- $s := .Values.slo.latency.thresholdSeconds | toString }}
{{- if contains "." $s }}le="{{ $s }}"{{ else }}le=~"{{ $s }}(\\.0)?"{{ end }}
{{- end }}

{{/* Share of requests that may fail, or be slow. Takes an objective in percent. Rounded, because 100 - 99.9 is not 0.1 to a computer. */}}
{{- define "siglab.budget" -}}
{{- divf (subf 100.0 (float64 .)) 100.0 | printf "%.8f" | trimAll "0" | printf "0%s" }}
{{- end }}

{{/* Seconds of a duration such as 5m. */}}
{{- define "siglab.seconds" -}}
{{- $n := regexFind "^[0-9]+" . | int64 }}
{{- $unit := regexFind "[a-z]$" . }}
{{- mul $n (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800) $unit) }}
{{- end }}

{{/* All windows of the burn rates, each once, as a JSON list. */}}
{{- define "siglab.windows" -}}
{{- $all := list .Values.slo.sliWindow }}
{{- range .Values.slo.burnRates }}
{{- $all = concat $all (list .short .long) }}
{{- end }}
{{- uniq $all | toJson }}
{{- end }}
