{{- define "hub.name" -}}
{{- $full := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) }}
{{- $full | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "hub.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hub.labels" -}}
{{ include "hub.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hub.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "hub.name" .) }}
{{- end }}

{{- /* The components that run, as a JSON list. */ -}}
{{- define "hub.components" -}}
{{- $components := list "serve" "work" }}
{{- if .Values.intake.enabled }}{{ $components = append $components "intake" }}{{ end }}
{{- toJson $components }}
{{- end }}
