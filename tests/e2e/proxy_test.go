package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proxy is a Traefik of the test's own, with the provider that reads Middlewares: a cluster's own proxy may be another one, or lack it.
type proxy struct {
	namespace, class, url string
}

// The kinds that Traefik's provider of Middlewares watches; it serves nothing while one of them is missing.
var traefikKinds = []string{"IngressRoute", "IngressRouteTCP", "IngressRouteUDP", "Middleware", "MiddlewareTCP", "ServersTransport", "ServersTransportTCP", "TLSOption", "TLSStore", "TraefikService"}

// startProxy runs Traefik for the release's namespace and for an Ingress class of its own, until the test ends.
func (s *suite) startProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{namespace: s.namespace + "-proxy", class: s.namespace}
	var manifest strings.Builder
	there := strings.Fields(s.kubectl(t, "get", "customresourcedefinitions", "-o", "name"))
	var made []string
	for _, kind := range traefikKinds {
		singular := strings.ToLower(kind)
		name := singular + "s.traefik.io"
		if slices.Contains(there, "customresourcedefinition.apiextensions.k8s.io/"+name) {
			continue
		}
		made = append(made, "customresourcedefinition/"+name)
		fmt.Fprintf(&manifest, `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.traefik.io}
spec:
  group: traefik.io
  scope: Namespaced
  names: {kind: %[2]s, listKind: %[2]sList, plural: %[1]ss, singular: %[1]s}
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, singular, kind)
	}
	made = append(made, "clusterrole/"+p.namespace, "clusterrolebinding/"+p.namespace, "ingressclass/"+p.class)
	t.Cleanup(func() {
		if _, err := try(3*time.Minute, "", "kubectl", slices.Concat([]string{"delete", "--ignore-not-found"}, made)...); err != nil {
			t.Log(err)
		}
	})
	makeNamespace(t, p.namespace, "restricted")
	fmt.Fprintf(&manifest, `---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: %[3]s}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: traefik, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules:
  - {apiGroups: [networking.k8s.io], resources: [ingressclasses], verbs: [get, list, watch]}
  - {apiGroups: [""], resources: [nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: traefik, namespace: %[1]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: traefik, namespace: %[2]s}
rules:
  - {apiGroups: [""], resources: [services, secrets, configmaps], verbs: [get, list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
  - {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}
  - {apiGroups: [traefik.io], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: traefik, namespace: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: traefik}
subjects: [{kind: ServiceAccount, name: traefik, namespace: %[1]s}]
---
apiVersion: v1
kind: Service
metadata: {name: traefik, namespace: %[1]s}
spec: {type: NodePort, selector: {app: traefik}, ports: [{name: web, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: traefik, namespace: %[1]s, labels: {app: traefik}}
spec:
  serviceAccountName: traefik
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: traefik
      image: %[4]s
      args:
        - --entrypoints.web.address=:8000
        - --entrypoints.traefik.address=:8080
        - --providers.kubernetesingress.ingressclass=%[3]s
        - --providers.kubernetesingress.namespaces=%[2]s
        - --providers.kubernetescrd.namespaces=%[2]s
        - --metrics.prometheus
        - --ping
        - --global.checknewversion=false
        - --global.sendanonymoususage=false
      ports: [{name: web, containerPort: 8000}, {name: internal, containerPort: 8080}]
      readinessProbe: {httpGet: {path: /ping, port: internal}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`, p.namespace, s.namespace, p.class, setting("TRAEFIK_IMAGE", "traefik:v3.6.7"))
	apply(t, manifest.String())
	in := release{namespace: p.namespace}
	in.kubectl(t, "wait", "pod/traefik", "--for=condition=Ready", "--timeout=2m")
	var nodes struct {
		Items []struct {
			Status struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := json.Unmarshal([]byte(in.kubectl(t, "get", "nodes", "-o", "json")), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == "InternalIP" {
			p.url = "http://" + a.Address + ":" + in.kubectl(t, "get", "service", "traefik", "-o", "jsonpath={.spec.ports[0].nodePort}")
		}
	}
	if p.url == "" {
		t.Fatal("the first node has no InternalIP")
	}
	return p
}

// badGateways returns how many tries at a pod the proxy gave up, and how many requests it answered with 502. The one is more than the other by
// what it tried again.
func (p *proxy) badGateways(t *testing.T) (tries, answers int) {
	t.Helper()
	out := release{namespace: p.namespace}.kubectl(t, "get", "--raw", "/api/v1/namespaces/"+p.namespace+"/pods/traefik:8080/proxy/metrics")
	for _, m := range regexp.MustCompile(`(?m)^traefik_(service|entrypoint)_requests_total\{code="`+strconv.Itoa(http.StatusBadGateway)+`",.*\} (\S+)$`).FindAllStringSubmatch(out, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if m[1] == "service" {
			tries += int(n)
		} else {
			answers += int(n)
		}
	}
	return tries, answers
}
