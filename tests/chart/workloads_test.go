package chart_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// everything turns on each object that is off by default.
const everything = "ingress.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=public,priorityClass.create=true," +
	"autoscaling.requestsPerSecond.enabled=true,tracing.endpoint=http://collector:4317,traefikRetry.ingress=true,traefikRetry.httpRoute=true"

// TestPodSecurityRestricted holds every pod of the release, hooks and stores included, to the Pod Security standard "restricted", to
// a read-only root, to resources and to no token.
func TestPodSecurityRestricted(t *testing.T) {
	pods := podSpecs(render(t, input{set: named + "," + everything}))
	if len(pods) < 5 {
		t.Fatalf("only %d pods were rendered: %v", len(pods), slices.Sorted(keys(pods)))
	}
	volumes := []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
	for name, pod := range pods {
		bad := func(format string, args ...any) { t.Errorf("%s: %s", name, fmt.Sprintf(format, args...)) }
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			bad("shares a namespace of the host")
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			bad("mounts a token")
		}
		if pod.ServiceAccountName != "siglab" {
			bad("runs as service account %q", pod.ServiceAccountName)
		}
		sc := pod.SecurityContext
		if sc == nil || sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.RunAsUser == nil || *sc.RunAsUser == 0 {
			bad("may run as root")
		}
		if sc == nil || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			bad("has no seccomp profile")
		}
		for _, v := range pod.Volumes {
			ok := false
			for _, kind := range volumes {
				field := reflect.ValueOf(v.VolumeSource).FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, kind) })
				ok = ok || !field.IsNil()
			}
			if !ok {
				bad("volume %s is of a kind that is not allowed", v.Name)
			}
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			sc := c.SecurityContext
			if sc == nil || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation || (sc.Privileged != nil && *sc.Privileged) {
				bad("container %s may gain privileges", c.Name)
				continue
			}
			if sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(sc.Capabilities.Add) > 0 {
				bad("container %s keeps capabilities", c.Name)
			}
			if sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
				bad("container %s may write to its root", c.Name)
			}
			for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if c.Resources.Requests.Name(r, "").IsZero() || c.Resources.Limits.Name(r, "").IsZero() {
					bad("container %s has no request or no limit of %s", c.Name, r)
				}
			}
			for _, p := range c.Ports {
				if p.HostPort != 0 {
					bad("container %s takes a port of the host", c.Name)
				}
			}
		}
	}
}

// TestLabels: every object carries the recommended labels, every Service finds pods of exactly one workload, and a selector is in its pods' labels.
func TestLabels(t *testing.T) {
	objects := render(t, input{set: named + "," + everything + ",commonLabels.team=labs,commonAnnotations.note=common"})
	templates := map[string]map[string]string{}
	for _, o := range objects {
		m := reflect.ValueOf(o.typed).Elem().FieldByName("ObjectMeta").Interface().(metav1.ObjectMeta)
		for key, want := range map[string]string{"app.kubernetes.io/name": "siglab", "app.kubernetes.io/instance": "siglab", "app.kubernetes.io/managed-by": "Helm", "team": "labs"} {
			if got := m.Labels[key]; got != want {
				t.Errorf("%s %s: label %s is %q, want %q", o.kind, o.name, key, got, want)
			}
		}
		if o.kind != "PriorityClass" && m.Annotations["note"] != "common" {
			t.Errorf("%s %s lacks the common annotation", o.kind, o.name)
		}
		if o.kind != "PriorityClass" && m.Namespace != namespace {
			t.Errorf("%s %s is in namespace %q", o.kind, o.name, m.Namespace)
		}
		var selector, labels map[string]string
		switch w := o.typed.(type) {
		case *appsv1.Deployment:
			selector, labels = w.Spec.Selector.MatchLabels, w.Spec.Template.Labels
		case *appsv1.StatefulSet:
			selector, labels = w.Spec.Selector.MatchLabels, w.Spec.Template.Labels
		default:
			continue
		}
		templates[o.name] = labels
		if !subset(selector, labels) {
			t.Errorf("%s %s selects %v, its pods have %v", o.kind, o.name, selector, labels)
		}
		if _, ok := selector["helm.sh/chart"]; ok {
			t.Errorf("%s %s selects by the chart's version, which cannot be upgraded", o.kind, o.name)
		}
	}
	for _, s := range all[*corev1.Service](objects) {
		n := 0
		for _, labels := range templates {
			if subset(s.Spec.Selector, labels) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("Service %s finds pods of %d workloads, want 1", s.Name, n)
		}
	}
}

func subset(part, whole map[string]string) bool {
	for k, v := range part {
		if whole[k] != v {
			return false
		}
	}
	return len(part) > 0
}

func TestReplicasBelongToTheHPA(t *testing.T) {
	objects := render(t, input{set: named})
	if got := one[*appsv1.Deployment](t, objects, "siglab").Spec.Replicas; got != nil {
		t.Errorf("the Deployment names %d replicas beside an HPA", *got)
	}
	hpa := one[*autoscalingv2.HorizontalPodAutoscaler](t, objects, "siglab").Spec
	if *hpa.MinReplicas != 3 || hpa.MaxReplicas != 10 || hpa.ScaleTargetRef.Kind != "Deployment" || hpa.ScaleTargetRef.Name != "siglab" {
		t.Errorf("the HPA keeps %s %s from %d to %d, want the Deployment siglab from 3 to 10", hpa.ScaleTargetRef.Kind, hpa.ScaleTargetRef.Name, *hpa.MinReplicas, hpa.MaxReplicas)
	}
	if len(hpa.Metrics) != 1 || *hpa.Metrics[0].Resource.Target.AverageUtilization != 150 {
		t.Errorf("the HPA follows %+v, want CPU at 150 %% alone", hpa.Metrics)
	}
	if up, down := hpa.Behavior.ScaleUp, hpa.Behavior.ScaleDown; *up.StabilizationWindowSeconds != 0 || *down.StabilizationWindowSeconds != 300 || *down.SelectPolicy != autoscalingv2.MinChangePolicySelect {
		t.Errorf("the HPA grows after %d s and shrinks after %d s by %s", *up.StabilizationWindowSeconds, *down.StabilizationWindowSeconds, *down.SelectPolicy)
	}

	objects = render(t, input{set: named + ",autoscaling.requestsPerSecond.enabled=true,autoscaling.requestsPerSecond.target=80"})
	hpa = one[*autoscalingv2.HorizontalPodAutoscaler](t, objects, "siglab").Spec
	if len(hpa.Metrics) != 2 || hpa.Metrics[1].Pods.Metric.Name != "http_server_requests_per_second" || hpa.Metrics[1].Pods.Target.AverageValue.String() != "80" {
		t.Errorf("the HPA follows %+v, want 80 requests a second too", hpa.Metrics)
	}

	objects = render(t, input{set: named + ",autoscaling.enabled=false,replicaCount=4"})
	if has[*autoscalingv2.HorizontalPodAutoscaler](objects, "siglab") {
		t.Error("an HPA was rendered though it is off")
	}
	if got := one[*appsv1.Deployment](t, objects, "siglab").Spec.Replicas; got == nil || *got != 4 {
		t.Errorf("the Deployment names %v replicas, want 4", got)
	}
}

func TestRolloutLosesNothing(t *testing.T) {
	d := one[*appsv1.Deployment](t, render(t, input{set: named}), "siglab").Spec
	if got := d.Strategy.RollingUpdate; got.MaxSurge.IntValue() != 1 || got.MaxUnavailable.IntValue() != 0 {
		t.Errorf("a rollout surges by %s and lacks %s, want 1 and 0", got.MaxSurge, got.MaxUnavailable)
	}
	for _, tt := range []struct {
		set  string
		want int64
	}{{named, 50}, {named + ",config.drainDelaySeconds=15,config.timeoutSeconds=60,terminationMarginSeconds=5", 80}} {
		objects := render(t, input{set: tt.set})
		pod := podSpecs(objects)["Deployment siglab"]
		if got := *pod.TerminationGracePeriodSeconds; got != tt.want {
			t.Errorf("%s: grace period is %d s, want %d", tt.set, got, tt.want)
		}
		if l := pod.Containers[0].Lifecycle; l != nil {
			t.Error("a lifecycle hook is set; the image has no shell to run one")
		}
	}
	config := one[*corev1.ConfigMap](t, render(t, input{set: named + ",config.drainDelaySeconds=15"}), "siglab").Data
	if got := config["DRAIN_DELAY"]; got != "15s" {
		t.Errorf("DRAIN_DELAY is %q, want 15s", got)
	}
}

func TestProbes(t *testing.T) {
	c := podSpecs(render(t, input{set: named}))["Deployment siglab"].Containers[0]
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if want := map[string]int32{"http": 8000, "metrics": 9090}; !maps.Equal(ports, want) {
		t.Errorf("ports are %v, want %v", ports, want)
	}
	for name, tt := range map[string]struct {
		probe      *corev1.Probe
		path, port string
	}{
		"startup":   {c.StartupProbe, "/startupz", "metrics"},
		"readiness": {c.ReadinessProbe, "/api/sistema/health", "http"},
		"liveness":  {c.LivenessProbe, "/livez", "metrics"},
	} {
		if tt.probe == nil || tt.probe.HTTPGet == nil || tt.probe.HTTPGet.Path != tt.path || tt.probe.HTTPGet.Port.String() != tt.port {
			t.Errorf("%s is %+v, want %s on %s", name, tt.probe, tt.path, tt.port)
		}
	}
}

func TestMigrationRunsFirst(t *testing.T) {
	pod := podSpecs(render(t, input{set: named + ",image.tag=v7"}))["Deployment siglab"]
	if len(pod.InitContainers) != 1 || !slices.Equal(pod.InitContainers[0].Args, []string{"migrate"}) || pod.InitContainers[0].Image != "siglab:v7" {
		t.Fatalf("init containers are %+v, want one that migrates with the same image", pod.InitContainers)
	}
	if got := pod.Containers[0].Args; !slices.Equal(got, []string{"serve"}) {
		t.Errorf("the container runs %q, want serve", got)
	}
}

// TestConfigMap sets each value of the service's configuration and looks for it in the variables.
func TestConfigMap(t *testing.T) {
	base := one[*corev1.ConfigMap](t, render(t, input{set: named}), "siglab").Data
	for name, want := range map[string]string{
		"HOST": "0.0.0.0", "PORT": "8000", "METRICS_PORT": "9090", "MYSQL_HOST": "siglab-mysql", "MYSQL_PORT": "3306", "MONGO_HOST": "siglab-mongo", "REDIS_HOST": "siglab-redis",
		"MYSQL_DATABASE": "proyecto_maquinas", "MONGO_DATABASE": "mantenimientos", "REDIS_TTL": "60", "TIMEOUT": "30", "KEEP_ALIVE": "120", "MYSQL_POOL_SIZE": "10", "AUTH_REQUIRED": "true",
	} {
		if got := base[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"WORKERS", "CORS_ORIGINS", "TRUSTED_PROXIES", "MYSQL_TLS", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if v, ok := base[name]; ok {
			t.Errorf("%s is %q by default, want it unset", name, v)
		}
	}
	for _, tt := range []struct{ set, name, want string }{
		{"config.logLevel=debug", "LOG_LEVEL", "debug"},
		{"config.timeoutSeconds=12", "TIMEOUT", "12"},
		{"config.keepAliveSeconds=70", "KEEP_ALIVE", "70"},
		{"config.maxConnections=1000000", "MAX_CONNECTIONS", "1000000"},
		{"config.workers=4", "WORKERS", "4"},
		{"config.cacheTTLSeconds=30", "REDIS_TTL", "30"},
		{"config.sessionTTL=1h30m", "SESSION_TTL", "1h30m"},
		{"config.bcryptCost=10", "BCRYPT_COST", "10"},
		{"config.authRequired=false", "AUTH_REQUIRED", "false"},
		{"config.metricsPublic=true", "METRICS_PUBLIC", "true"},
		{"config.loginRate.user=100000", "LOGIN_RATE_USER", "100000"},
		{"config.loginRate.address=7", "LOGIN_RATE_ADDRESS", "7"},
		{"config.corsOrigins={https://a.edu,https://b.edu}", "CORS_ORIGINS", "https://a.edu,https://b.edu"},
		{"config.trustedProxies={10.0.0.0/8,fd00::/8}", "TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"},
		{"mysql.tls=skip-verify", "MYSQL_TLS", "skip-verify"},
		{"mysql.timeout=900ms", "MYSQL_TIMEOUT", "900ms"},
		{"mysql.enabled=false,mysql.external.host=db.edu,mysql.external.port=3307", "MYSQL_PORT", "3307"},
		{"mysql.enabled=false,mysql.external.host=db.edu", "MYSQL_HOST", "db.edu"},
		{"mysql.auth.database=otra", "MYSQL_DATABASE", "otra"},
		{"mongo.poolSize=15", "MONGO_POOL_SIZE", "15"},
		{"mongo.enabled=false,mongo.external.host=m.edu", "MONGO_HOST", "m.edu"},
		{"redis.timeout=100ms", "REDIS_TIMEOUT", "100ms"},
		{"redis.poolSize=5", "REDIS_POOL_SIZE", "5"},
		{"redis.enabled=false,redis.external.host=r.edu,redis.external.port=6380", "REDIS_PORT", "6380"},
		{"redis.enabled=false,redis.external.url=redis://s:26379/0?master_name=m", "REDIS_URL", "redis://s:26379/0?master_name=m"},
		{"tracing.endpoint=http://c:4317", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"},
		{"tracing.endpoint=http://c:4317,tracing.sampler=always_on", "OTEL_TRACES_SAMPLER", "always_on"},
		{"tracing.endpoint=http://c:4317", "OTEL_TRACES_SAMPLER_ARG", "0.1"},
	} {
		objects := render(t, input{set: named + "," + tt.set})
		if got := one[*corev1.ConfigMap](t, objects, "siglab").Data[tt.name]; got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.set, tt.name, got, tt.want)
		}
		d := one[*appsv1.Deployment](t, objects, "siglab").Spec.Template.Annotations["checksum/config"]
		if base[tt.name] != tt.want && d == one[*appsv1.Deployment](t, render(t, input{set: named}), "siglab").Spec.Template.Annotations["checksum/config"] {
			t.Errorf("%s: the pods keep their checksum, so they would not roll", tt.set)
		}
	}
}

func TestMemoryLimitReachesTheRuntime(t *testing.T) {
	for _, tt := range []struct{ limit, want string }{
		{"512Mi", "483183820"}, {"1Gi", "966367641"}, {"600M", "540000000"}, {"1.5Gi", ""},
	} {
		c := podSpecs(render(t, input{set: named + ",resources.limits.memory=" + tt.limit}))["Deployment siglab"].Containers[0]
		if got := env(c)["GOMEMLIMIT"]; got != tt.want {
			t.Errorf("with a limit of %s GOMEMLIMIT is %q, want %q", tt.limit, got, tt.want)
		}
	}
}

func TestImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, tt := range []struct{ set, want string }{
		{"image.repository=r.edu/siglab", "r.edu/siglab:" + loadChart(t).Metadata.AppVersion},
		{"image.tag=dev", "siglab:dev"},
		{"image.tag=dev,image.digest=" + digest, "siglab@" + digest},
	} {
		pods := podSpecs(render(t, input{set: named + "," + tt.set + ",image.pullPolicy=Always,image.pullSecrets={reg}"}))
		for _, name := range []string{"Deployment siglab", "Pod siglab-smoke"} {
			for _, c := range slices.Concat(pods[name].InitContainers, pods[name].Containers) {
				if c.Image != tt.want || c.ImagePullPolicy != corev1.PullAlways {
					t.Errorf("%s %s runs %s (%s), want %s", name, c.Name, c.Image, c.ImagePullPolicy, tt.want)
				}
			}
		}
		for name, pod := range pods {
			if len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != "reg" {
				t.Errorf("%s has pull secrets %v, want reg", name, pod.ImagePullSecrets)
			}
		}
	}
	pods := podSpecs(render(t, input{set: named + ",mysql.image.digest=" + digest}))
	for name, want := range map[string]string{"StatefulSet siglab-mysql": "mysql@" + digest, "StatefulSet siglab-mongo": "mongo:8.0", "StatefulSet siglab-redis": "redis:8.2-alpine"} {
		if got := pods[name].Containers[0].Image; got != want {
			t.Errorf("%s runs %s, want %s", name, got, want)
		}
	}
}

func TestStores(t *testing.T) {
	objects := render(t, input{set: named + ",mysql.maxConnections=222,redis.maxMemory=50mb,mysql.extraArgs={--a},mongo.extraArgs={--b},redis.extraArgs={--c},mysql.persistence.storageClass=fast,mongo.persistence.size=3Gi"})
	mysql, mongo, redis := one[*appsv1.StatefulSet](t, objects, "siglab-mysql"), one[*appsv1.StatefulSet](t, objects, "siglab-mongo"), one[*appsv1.StatefulSet](t, objects, "siglab-redis")
	for _, tt := range []struct {
		set  *appsv1.StatefulSet
		args []string
	}{
		{mysql, []string{"--max-connections=222", "--a"}},
		{mongo, []string{"--b"}},
		{redis, []string{"--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--requirepass", "$(REDIS_PASSWORD)", "--c"}},
	} {
		c := tt.set.Spec.Template.Spec.Containers[0]
		for _, a := range tt.args {
			if !slices.Contains(c.Args, a) {
				t.Errorf("%s runs with %q, want %s among them", tt.set.Name, c.Args, a)
			}
		}
		if c.ReadinessProbe == nil || c.LivenessProbe == nil {
			t.Errorf("%s lacks a probe", tt.set.Name)
		}
		if *tt.set.Spec.Template.Spec.SecurityContext.RunAsUser != 999 {
			t.Errorf("%s does not run as its image's user", tt.set.Name)
		}
		if !has[*corev1.Service](objects, tt.set.Spec.ServiceName) {
			t.Errorf("%s is governed by Service %q, which is not there", tt.set.Name, tt.set.Spec.ServiceName)
		}
	}
	for _, s := range []*appsv1.StatefulSet{mysql, mongo} {
		if len(s.Spec.VolumeClaimTemplates) != 1 || s.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
			t.Errorf("%s does not keep its volume", s.Name)
		}
	}
	if got := *mysql.Spec.VolumeClaimTemplates[0].Spec.StorageClassName; got != "fast" {
		t.Errorf("MySQL's volume is of class %q, want fast", got)
	}
	if got := mongo.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String(); got != "3Gi" {
		t.Errorf("MongoDB's volume has %s, want 3Gi", got)
	}
	if len(redis.Spec.VolumeClaimTemplates) != 0 {
		t.Error("Redis, a cache, asks for a volume")
	}
	for _, store := range []string{"mysql", "mongo", "redis"} {
		objects := render(t, input{set: fmt.Sprintf("%s,%s.enabled=false,%s.external.host=h", named, store, store)})
		if has[*appsv1.StatefulSet](objects, "siglab-"+store) || has[*corev1.Service](objects, "siglab-"+store) || has[*networkingv1.NetworkPolicy](objects, "siglab-"+store) {
			t.Errorf("%s is off, and something of it was rendered", store)
		}
	}
}

func TestOptionalObjects(t *testing.T) {
	off := render(t, input{set: named + ",podDisruptionBudget.enabled=false,serviceAccount.create=false,tests.enabled=false,networkPolicy.enabled=false"})
	on := render(t, input{set: named + "," + everything})
	for _, tt := range []struct {
		kind    string
		off, on bool
	}{
		{"Ingress", has[*networkingv1.Ingress](off, "siglab"), has[*networkingv1.Ingress](on, "siglab")},
		{"HTTPRoute", has[*gatewayv1.HTTPRoute](off, "siglab"), has[*gatewayv1.HTTPRoute](on, "siglab")},
		{"PodDisruptionBudget", has[*policyv1.PodDisruptionBudget](off, "siglab"), has[*policyv1.PodDisruptionBudget](on, "siglab")},
		{"PriorityClass", has[*schedulingv1.PriorityClass](off, "siglab"), has[*schedulingv1.PriorityClass](on, "siglab")},
		{"ServiceAccount", has[*corev1.ServiceAccount](off, "siglab"), has[*corev1.ServiceAccount](on, "siglab")},
		{"test Pod", has[*corev1.Pod](off, "siglab-smoke"), has[*corev1.Pod](on, "siglab-smoke")},
		{"Middleware", has[*middleware](off, "siglab-retry"), has[*middleware](on, "siglab-retry")},
		{"NetworkPolicy", has[*networkingv1.NetworkPolicy](off, "siglab"), has[*networkingv1.NetworkPolicy](on, "siglab")},
	} {
		if tt.off || !tt.on {
			t.Errorf("%s: there when off %v, there when on %v", tt.kind, tt.off, tt.on)
		}
	}
	if got := podSpecs(off)["Deployment siglab"].ServiceAccountName; got != "default" {
		t.Errorf("without an account of its own the pods run as %q, want default", got)
	}
	if got := podSpecs(on)["Deployment siglab"].PriorityClassName; got != "siglab" {
		t.Errorf("the pods have priority class %q, want siglab", got)
	}
	pdb := one[*policyv1.PodDisruptionBudget](t, on, "siglab").Spec
	if pdb.MaxUnavailable.IntValue() != 1 || !subset(pdb.Selector.MatchLabels, one[*appsv1.Deployment](t, on, "siglab").Spec.Template.Labels) || pdb.Selector.MatchLabels["app.kubernetes.io/component"] != "api" {
		t.Errorf("the budget is %+v, want one of the API's pods", pdb)
	}
}

func TestIngressAndRoute(t *testing.T) {
	set := named + "," + everything + ",ingress.className=traefik,ingress.annotations.a=b,ingress.hosts[0].host=x.edu,ingress.hosts[0].paths[0].path=/api,ingress.hosts[0].paths[0].pathType=Prefix," +
		"ingress.tls[0].secretName=cert,ingress.tls[0].hosts[0]=x.edu,httpRoute.parentRefs[0].namespace=gw,httpRoute.hostnames={y.edu},service.port=80"
	objects := render(t, input{set: set})
	in := one[*networkingv1.Ingress](t, objects, "siglab")
	rule := in.Spec.Rules[0]
	backend := rule.HTTP.Paths[0].Backend.Service
	if *in.Spec.IngressClassName != "traefik" || in.Annotations["a"] != "b" || rule.Host != "x.edu" || rule.HTTP.Paths[0].Path != "/api" || backend.Name != "siglab" || backend.Port.Name != "http" || in.Spec.TLS[0].SecretName != "cert" {
		t.Errorf("the Ingress is %+v", in.Spec)
	}
	route := one[*gatewayv1.HTTPRoute](t, objects, "siglab").Spec
	ref := route.Rules[0].BackendRefs[0]
	if string(route.ParentRefs[0].Name) != "public" || string(*route.ParentRefs[0].Namespace) != "gw" || string(route.Hostnames[0]) != "y.edu" || string(ref.Name) != "siglab" || *ref.Port != 80 {
		t.Errorf("the HTTPRoute is %+v", route)
	}
	service := one[*corev1.Service](t, objects, "siglab").Spec
	if service.Ports[0].Name != "http" || service.Ports[0].Port != 80 || service.Ports[0].TargetPort.String() != "http" || len(service.Ports) != 1 {
		t.Errorf("the Service has ports %+v, want http alone", service.Ports)
	}
	if metrics := one[*corev1.Service](t, objects, "siglab-metrics").Spec; metrics.ClusterIP != "None" || metrics.Ports[0].Name != "metrics" {
		t.Errorf("the internal Service is %+v", metrics)
	}
	anyHost := one[*networkingv1.Ingress](t, render(t, input{set: named + ",ingress.enabled=true,ingress.hosts[0].host=,ingress.hosts[0].paths[0].path=/,ingress.hosts[0].paths[0].pathType=Prefix"}), "siglab")
	if anyHost.Spec.Rules[0].Host != "" || anyHost.Spec.IngressClassName != nil {
		t.Errorf("an empty host and class render as %q and %v", anyHost.Spec.Rules[0].Host, anyHost.Spec.IngressClassName)
	}
}

// TestTraefikRetry follows the name of the Middleware from each door to the object; a door that is not asked for names none.
func TestTraefikRetry(t *testing.T) {
	const annotation = "traefik.ingress.kubernetes.io/router.middlewares"
	doors := named + ",ingress.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=public"
	for _, tt := range []struct {
		set, annotation, filter string
		attempts                int
	}{
		{"", "", "", 0},
		{",traefikRetry.ingress=true", "lab-siglab-retry@kubernetescrd", "", 5},
		{",traefikRetry.httpRoute=true,traefikRetry.attempts=3", "", "traefik.io/Middleware siglab-retry", 3},
		{`,traefikRetry.ingress=true,ingress.annotations.traefik\.ingress\.kubernetes\.io/router\.middlewares=lab-auth@kubernetescrd`, "lab-auth@kubernetescrd,lab-siglab-retry@kubernetescrd", "", 5},
		{",traefikRetry.ingress=true,ingress.annotations=null", "lab-siglab-retry@kubernetescrd", "", 5},
		{",traefikRetry.ingress=true,traefikRetry.httpRoute=true,ingress.enabled=false,httpRoute.enabled=false", "", "", 0},
	} {
		objects := render(t, input{set: doors + tt.set})
		var in, filter string
		for _, i := range all[*networkingv1.Ingress](objects) {
			in = i.Annotations[annotation]
		}
		for _, r := range all[*gatewayv1.HTTPRoute](objects) {
			for _, f := range r.Spec.Rules[0].Filters {
				filter = fmt.Sprintf("%s/%s %s", f.ExtensionRef.Group, f.ExtensionRef.Kind, f.ExtensionRef.Name)
			}
		}
		attempts := 0
		for _, m := range all[*middleware](objects) {
			if m.Name != "siglab-retry" {
				t.Errorf("with %q: a Middleware is named %q, which no door names", tt.set, m.Name)
			}
			attempts += m.Spec.Retry.Attempts
		}
		if in != tt.annotation || filter != tt.filter || attempts != tt.attempts {
			t.Errorf("with %q: the Ingress names %q, the HTTPRoute %q, with %d attempts; want %q, %q, %d", tt.set, in, filter, attempts, tt.annotation, tt.filter, tt.attempts)
		}
	}
}

func TestPlacement(t *testing.T) {
	pod := podSpecs(render(t, input{set: named}))["Deployment siglab"]
	var where []string
	for _, c := range pod.TopologySpreadConstraints {
		where = append(where, c.TopologyKey)
		if c.WhenUnsatisfiable != corev1.ScheduleAnyway || !slices.Equal(c.MatchLabelKeys, []string{"pod-template-hash"}) {
			t.Errorf("the spread over %s is %+v", c.TopologyKey, c)
		}
	}
	if want := []string{"topology.kubernetes.io/zone", "kubernetes.io/hostname"}; !slices.Equal(where, want) {
		t.Errorf("pods spread over %q, want %q", where, want)
	}
	pods := podSpecs(render(t, input{set: named + ",topologySpreadConstraints[0].topologyKey=rack,topologySpreadConstraints[0].maxSkew=2,topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule," +
		"nodeSelector.disk=ssd,tolerations[0].key=lab,tolerations[0].operator=Exists,priorityClassName=high,affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1," +
		"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=k,affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists"}))
	pod = pods["Deployment siglab"]
	if len(pod.TopologySpreadConstraints) != 1 || pod.TopologySpreadConstraints[0].TopologyKey != "rack" || pod.PriorityClassName != "high" || pod.Affinity.NodeAffinity == nil {
		t.Errorf("placement is %+v, %q, %+v", pod.TopologySpreadConstraints, pod.PriorityClassName, pod.Affinity)
	}
	for name, p := range pods {
		if p.NodeSelector["disk"] != "ssd" || len(p.Tolerations) != 1 {
			t.Errorf("%s is placed by %v and %v", name, p.NodeSelector, p.Tolerations)
		}
	}
}

func TestExtras(t *testing.T) {
	set := named + ",extraEnv[0].name=A,extraEnv[0].value=b,extraEnvFrom[0].configMapRef.name=more,extraVolumes[0].name=v,extraVolumes[0].configMap.name=c,extraVolumeMounts[0].name=v,extraVolumeMounts[0].mountPath=/v," +
		"podLabels.tier=back,podAnnotations.seen=yes,service.annotations.s=t,serviceAccount.annotations.u=w,serviceAccount.name=who,resources.limits.cpu=2,migrate.resources.limits.cpu=3,tests.resources.limits.cpu=300m"
	objects := render(t, input{set: set})
	d := one[*appsv1.Deployment](t, objects, "siglab")
	pod := d.Spec.Template.Spec
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if env(c)["A"] != "b" || c.EnvFrom[1].ConfigMapRef.Name != "more" || c.VolumeMounts[1].MountPath != "/v" {
			t.Errorf("container %s lacks an extra: %v, %v, %v", c.Name, env(c), c.EnvFrom, c.VolumeMounts)
		}
	}
	if pod.Volumes[1].ConfigMap.Name != "c" || d.Spec.Template.Labels["tier"] != "back" || d.Spec.Template.Annotations["seen"] != "yes" || pod.ServiceAccountName != "who" {
		t.Errorf("the pod lacks an extra: %+v", d.Spec.Template.ObjectMeta)
	}
	if d.Spec.Selector.MatchLabels["tier"] != "" {
		t.Error("a pod label got into the selector, which cannot be changed")
	}
	if pod.Containers[0].Resources.Limits.Cpu().String() != "2" || pod.InitContainers[0].Resources.Limits.Cpu().String() != "3" || podSpecs(objects)["Pod siglab-smoke"].Containers[0].Resources.Limits.Cpu().String() != "300m" {
		t.Error("resources are not the ones given")
	}
	if one[*corev1.Service](t, objects, "siglab").Annotations["s"] != "t" || one[*corev1.ServiceAccount](t, objects, "who").Annotations["u"] != "w" {
		t.Error("annotations are not the ones given")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 60)
	for _, tt := range []struct{ set, want string }{
		{"nameOverride=equipos", "siglab-equipos"}, {"fullnameOverride=other", "other"}, {"fullnameOverride=" + long, long[:46]},
	} {
		objects := render(t, input{set: named + "," + tt.set})
		one[*appsv1.Deployment](t, objects, tt.want)
		for _, o := range objects {
			if len(o.name) > 63 || !strings.HasPrefix(o.name, tt.want) {
				t.Errorf("%s: %s is named %q", tt.set, o.kind, o.name)
			}
		}
	}
}

func TestHelmTest(t *testing.T) {
	pod := one[*corev1.Pod](t, render(t, input{set: named}), "siglab-smoke")
	if pod.Annotations["helm.sh/hook"] != "test" || pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("the pod is no test: %v, %s", pod.Annotations, pod.Spec.RestartPolicy)
	}
	// A failed test's pod is no part of the release, so an uninstall would leave it.
	if got := pod.Annotations["helm.sh/hook-delete-policy"]; got != "before-hook-creation,hook-succeeded,hook-failed" {
		t.Errorf("it is removed %q", got)
	}
	if got := pod.Spec.Containers[0].Args; !slices.Equal(got, []string{"smoke", "http://siglab:8000"}) {
		t.Errorf("it runs %q", got)
	}
}

func TestNotesSayWhatIsNext(t *testing.T) {
	for _, tt := range []struct{ set, says string }{
		{named, "port-forward svc/siglab 8000:8000"},
		{named, "get secret cred"},
		{named + ",ingress.enabled=true", "http://siglab.local/docs"},
		{named + ",ingress.enabled=true,ingress.tls[0].secretName=c", "https://siglab.local/docs"},
		{named + ",config.authRequired=false", "WARNING"},
		{named, "config.trustedProxies is empty"},
		{named + "," + everything, "through the Gateway public"},
	} {
		files, err := tryRender(t, input{set: tt.set})
		if err != nil {
			t.Fatal(err)
		}
		if got := files["siglab/templates/NOTES.txt"]; !strings.Contains(got, tt.says) {
			t.Errorf("%s: the notes lack %q:\n%s", tt.set, tt.says, got)
		}
	}
	// Traefik's retry is named where it would do something and is not on.
	for _, tt := range []struct {
		set    string
		serves []string
		want   bool
	}{
		{",ingress.enabled=true", []string{"traefik.io/v1alpha1"}, true},
		{",ingress.enabled=true,traefikRetry.ingress=true", []string{"traefik.io/v1alpha1"}, false},
		{",ingress.enabled=true", nil, false},
		{"", []string{"traefik.io/v1alpha1"}, false},
	} {
		files, err := tryRender(t, input{set: named + tt.set, serves: tt.serves})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(files["siglab/templates/NOTES.txt"], "traefikRetry.ingress=true"); got != tt.want {
			t.Errorf("%q on a cluster with %q: the notes name the retry: %v, want %v", tt.set, tt.serves, got, tt.want)
		}
	}
}
