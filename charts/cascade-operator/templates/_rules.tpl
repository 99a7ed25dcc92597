{{/* Made by `cascade chart` (make generate) from control/manifests/rbac.py. Do not edit. */}}

{{- define "cascade-operator.workRules" -}}
# What is asked for. Never written: spec, labels and annotations are their author's.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions]
  verbs: [get, list, watch]
# What has come of it; all that is remembered of a run stands there.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions/status]
  verbs: [patch]
# Children name their session as an owner that waits for them (blockOwnerDeletion), which clusters
# with OwnerReferencesPermissionEnforcement, such as OpenShift, guard.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions/finalizers]
  verbs: [update]
# The runs' workers. They are made and deleted, never changed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# How a worker ended, or why it does not start. Pods are the Job controller's to make.
- apiGroups: ['']
  resources: [pods]
  verbs: [get, list, watch]
# A run's settings, and the best program where spec.publish asks for it.
- apiGroups: ['']
  resources: [configmaps]
  verbs: [get, list, create, update, delete]
# Events of sessions; and the Job controller's words on a pod that it cannot make.
- apiGroups: ['']
  resources: [events]
  verbs: [create, list]
{{- end }}

{{- define "cascade-operator.claimRules" -}}
# The first operator of a namespace makes its claim.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# The claim is looked at and renewed, so that no second operator serves the same namespace.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [cascade-operator-serves]
  verbs: [get, update]
{{- end }}

{{- define "cascade-operator.yieldRules" -}}
# The claims of operators that serve some namespaces, which are left to them.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [cascade-operator-serves]
  verbs: [list]
{{- end }}

{{- define "cascade-operator.leaseRules" -}}
# The first replica makes the Lease.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# It is looked at and renewed.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: ['{{ include "cascade-operator.fullname" . }}']
  verbs: [get, update]
{{- end }}

{{- define "cascade-operator.viewRules" -}}
# Sessions, as they stand.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions]
  verbs: [get, list, watch]
# What has come of them.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions/status]
  verbs: [get]
{{- end }}

{{- define "cascade-operator.editRules" -}}
# Sessions: made, changed, suspended, deleted.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions]
  verbs: [get, list, watch, create, update, patch, delete, deletecollection]
# What has come of them.
- apiGroups: [cascade-operator.dev]
  resources: [trainingsessions/status]
  verbs: [get]
{{- end }}
