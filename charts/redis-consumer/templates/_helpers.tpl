{{/* Names as in the Kiosk's chart. */}}
{{- define "redis-consumer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis-consumer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "redis-consumer.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis-consumer.secretName" -}}
{{- default (include "redis-consumer.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{/* A map laid over another, as YAML. Unlike mergeOverwrite, false and 0 count. Takes `base` and `over`. */}}
{{- define "redis-consumer.overlay" -}}
{{- $out := deepCopy .base -}}
{{- range $key, $value := .over -}}
{{- if and (kindIs "map" $value) (kindIs "map" (index $out $key)) -}}
{{- $_ := set $out $key (include "redis-consumer.overlay" (dict "base" (index $out $key) "over" $value) | fromYaml) -}}
{{- else -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/*
The values of one consumer, as YAML: those of the chart with an entry of `consumers` laid over them.
Takes a dict of `root` and `entry`. Adds `queue`, the list that is worked, and the names of the consumer.
*/}}
{{- define "redis-consumer.merge" -}}
{{- $values := include "redis-consumer.overlay" (dict "base" (omit .root.Values "consumers") "over" .entry) | fromYaml -}}
{{- $env := default dict $values.env -}}
{{- $base := $env.QUEUE | default "predict" | toString | lower -}}
{{- $queue := ternary (printf "%s-zip" $base) $base (eq (lower (default "" $env.CONSUMER_TYPE)) "zip") -}}
{{- $_ := set $values "queue" $queue -}}
{{- $_ := set $values "env" $env -}}
{{- $_ := set $values "secrets" (default dict $values.secrets) -}}
{{- $_ := set $values "service" (default dict $values.service) -}}
{{- $isExec := eq (lower (default "" $env.CONSUMER_TYPE)) "exec" -}}
{{- $_ := set $values "isExec" $isExec -}}
{{- /* A command could read the token, so that of a release is not its own: its entry has to ask. */ -}}
{{- if and $isExec .root.Values.consumers (not (dig "podDeletionCost" "enabled" false .entry)) -}}
{{- $_ := set $values "podDeletionCost" (dict "enabled" false) -}}
{{- end -}}
{{- if .root.Values.consumers -}}
{{- $name := .entry.name | default (printf "%s-consumer" $queue) -}}
{{- $_ := set $values "nameOverride" $name -}}
{{- $_ := set $values "fullnameOverride" $name -}}
{{- end -}}
{{- toYaml $values -}}
{{- end -}}

{{/* Something that looks like the root of one consumer: a dict with its values. Takes `root` and `entry`. */}}
{{- define "redis-consumer.context" -}}
{{- $values := include "redis-consumer.merge" . | fromYaml -}}
{{- $release := dict "Name" .root.Release.Name "Namespace" .root.Release.Namespace "Service" .root.Release.Service -}}
{{- $chart := dict "Name" .root.Chart.Name "Version" .root.Chart.Version "AppVersion" .root.Chart.AppVersion -}}
{{- toYaml (dict "Values" $values "Release" $release "Chart" $chart) -}}
{{- end -}}

{{- define "redis-consumer.selector" -}}
app: {{ include "redis-consumer.name" . }}
release: {{ .Release.Name }}
{{- end -}}

{{- define "redis-consumer.labels" -}}
{{ include "redis-consumer.selector" . }}
chart: {{ include "redis-consumer.chart" . }}
heritage: {{ .Release.Service }}
{{- end -}}

{{/* Labels with some of the operator's, which win: Prometheus may look for a `release` of its own. Takes `root` and `more`. */}}
{{- define "redis-consumer.labelsWith" -}}
{{- toYaml (merge (deepCopy .more) (include "redis-consumer.labels" .root | fromYaml)) -}}
{{- end -}}

{{/* A value as text: whole numbers without an exponent. */}}
{{- define "redis-consumer.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (toString (float64 (int64 .))) (toString .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Variables of a map, without the empty ones. */}}
{{- define "redis-consumer.variables" -}}
{{- range $name, $value := . }}
{{- if $value }}
- name: {{ $name }}
  value: {{ include "redis-consumer.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether Secrets have any key that is not empty. */}}
{{- define "redis-consumer.hasSecrets" -}}
{{- if not .Values.existingSecret -}}
{{- range $name, $value := .Values.secrets }}{{ if $value }}yes {{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Variables out of a Secret: each key by its name, so that a new key shows in the Deployment. */}}
{{- define "redis-consumer.secretVariables" -}}
{{- $secret := include "redis-consumer.secretName" . -}}
{{- if not .Values.existingSecret }}
{{- range $name, $value := .Values.secrets }}
{{- if $value }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $name }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "redis-consumer.image" -}}
{{ .Values.image.repository }}:{{ include "redis-consumer.text" (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}

{{/* Variables that stand in the Deployment as they are: not those of the Secret, nor those that the chart sets itself. */}}
{{- define "redis-consumer.plainVariables" -}}
{{- $plain := deepCopy .Values.env -}}
{{- if not .Values.existingSecret -}}
{{- range $name, $value := .Values.secrets }}{{ if $value }}{{ $_ := unset $plain $name }}{{ end }}{{ end -}}
{{- end -}}
{{- if .Values.podDeletionCost.enabled -}}
{{- $plain = omit $plain "POD_DELETION_COST" "POD_NAMESPACE" -}}
{{- end -}}
{{- include "redis-consumer.variables" $plain -}}
{{- end -}}

{{/* Where metrics and probes are served. */}}
{{- define "redis-consumer.metricsPort" -}}
{{- int64 ((default dict .Values.env).METRICS_PORT | default .Values.metrics.port) -}}
{{- end -}}

{{/* What a pod needs after SHUTDOWN_GRACE: commands get EXEC_STOP_GRACE then, and their jobs go back. */}}
{{- define "redis-consumer.afterGrace" -}}
{{- add (ceil (float64 (default 10 .Values.env.EXEC_STOP_GRACE)) | int64) 20 -}}
{{- end -}}

{{/* How long a pod is given: above SHUTDOWN_GRACE in any case. */}}
{{- define "redis-consumer.grace" -}}
{{- $after := int64 (include "redis-consumer.afterGrace" .) -}}
{{- $least := add (ceil (float64 (default 0 .Values.env.SHUTDOWN_GRACE)) | int64) $after -}}
{{- max $least (int64 .Values.terminationGracePeriodSeconds) -}}
{{- end -}}

{{- define "redis-consumer.shutdownGrace" -}}
{{- max 1 (sub (int64 .Values.terminationGracePeriodSeconds) (int64 (include "redis-consumer.afterGrace" .))) -}}
{{- end -}}

{{/* A quantity of Kubernetes in bytes. */}}
{{- define "redis-consumer.bytes" -}}
{{- $text := include "redis-consumer.text" . -}}
{{- $unit := regexFind "([KMGT]i|[kMGT])$" $text -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- int64 (mulf (float64 (trimSuffix $unit $text)) (get $units $unit)) -}}
{{- end -}}

{{/* Bytes of one job's files: the jobs of a pod share the volume, of which a tenth is left. The kubelet evicts a pod above it. */}}
{{- define "redis-consumer.execDisk" -}}
{{- $slots := max 1 (int64 (default 4 .Values.env.CONCURRENCY)) -}}
{{- div (mul 9 (int64 (include "redis-consumer.bytes" .Values.ephemeral.sizeLimit))) (mul 10 $slots) -}}
{{- end -}}

{{/* Which autoscaler: none, hpa or keda. */}}
{{- define "redis-consumer.autoscaler" -}}
{{- .Values.autoscaling.mode | default (ternary "hpa" "none" (default false .Values.hpa.enabled)) -}}
{{- end -}}

{{/* The account that all consumers of a release share. Takes the root. */}}
{{- define "redis-consumer.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "redis-consumer.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Addresses of Redis or its Sentinels, each with a port. KEDA looks from a namespace of its own, so short names get ours. */}}
{{- define "redis-consumer.redisAddress" -}}
{{- $env := .Values.env -}}
{{- if .Values.autoscaling.keda.address -}}
{{- .Values.autoscaling.keda.address -}}
{{- else -}}
{{- $port := include "redis-consumer.text" ($env.REDIS_PORT | default 6379) -}}
{{- $addresses := list -}}
{{- range splitList "," (default "redis-master" $env.REDIS_HOST) -}}
{{- $parts := splitList ":" (trim .) -}}
{{- $host := first $parts -}}
{{- $full := ternary $host (printf "%s.%s" $host $.Release.Namespace) (contains "." $host) -}}
{{- $addresses = append $addresses (printf "%s:%s" $full (ternary $port (last $parts) (eq (len $parts) 1))) -}}
{{- end -}}
{{- join "," $addresses -}}
{{- end -}}
{{- end -}}

{{- define "redis-consumer.isSentinel" -}}
{{- $asked := toString .Values.autoscaling.keda.sentinel -}}
{{- if eq $asked "" -}}
{{- ternary "true" "false" (contains ":26379" (include "redis-consumer.redisAddress" .)) -}}
{{- else -}}
{{- $asked -}}
{{- end -}}
{{- end -}}
