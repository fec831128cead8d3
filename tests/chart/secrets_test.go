package chart_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func keys[V any](m map[string]V) func(func(string) bool) { return maps.Keys(m) }

func checksum(t *testing.T, objects []object) string {
	t.Helper()
	sum := one[*appsv1.Deployment](t, objects, "siglab").Spec.Template.Annotations["checksum/secrets"]
	if sum == "" {
		t.Fatal("the pods carry no checksum of the credentials")
	}
	return sum
}

func TestGeneratedSecrets(t *testing.T) {
	objects := render(t, input{cluster: cluster()})
	want := map[string][]string{
		"siglab-auth":  {"admin-password", "admin-username", "jwt-keys"},
		"siglab-mysql": {"mysql-password", "mysql-root-password"},
		"siglab-mongo": {"mongo-password"},
		"siglab-redis": {"redis-password"},
	}
	seen := map[string]bool{}
	for name, wantKeys := range want {
		s := one[*corev1.Secret](t, objects, name)
		if got := slices.Sorted(keys(s.Data)); !slices.Equal(got, wantKeys) {
			t.Errorf("%s has keys %q, want %q", name, got, wantKeys)
		}
		if got := s.Annotations["helm.sh/resource-policy"]; got != "keep" {
			t.Errorf("%s has resource policy %q, want keep", name, got)
		}
		for key, v := range s.Data {
			if key != "admin-username" && len(v) < 32 {
				t.Errorf("%s %s has %d characters, want 32 or more", name, key, len(v))
			}
			if seen[string(v)] {
				t.Errorf("%s %s repeats another credential", name, key)
			}
			seen[string(v)] = true
		}
	}
	auth := one[*corev1.Secret](t, objects, "siglab-auth")
	kid, key, ok := strings.Cut(string(auth.Data["jwt-keys"]), ":")
	raw, err := base64.StdEncoding.DecodeString(key)
	if !ok || !regexp.MustCompile(`^[a-z0-9]{8}$`).MatchString(kid) || err != nil || len(raw) != 32 {
		t.Errorf("the signing key is not kid:base64 of 32 bytes (kid %q, %d bytes, %v)", kid, len(raw), err)
	}
	if got := string(auth.Data["admin-username"]); got != "admin" {
		t.Errorf("the admin is %q, want admin", got)
	}
	again := one[*corev1.Secret](t, render(t, input{cluster: cluster()}), "siglab-auth")
	if string(again.Data["jwt-keys"]) == string(auth.Data["jwt-keys"]) {
		t.Error("two first installations got the same signing key")
	}
}

func TestGeneratedSecretsAreKept(t *testing.T) {
	first := render(t, input{cluster: cluster()})
	before := cluster()
	for _, s := range all[*corev1.Secret](first) {
		s.Namespace = namespace
		before = append(before, s)
	}
	second := render(t, input{cluster: before})
	for _, s := range all[*corev1.Secret](first) {
		got := one[*corev1.Secret](t, second, s.Name)
		for key, v := range s.Data {
			if string(got.Data[key]) != string(v) {
				t.Errorf("%s %s changed with an upgrade", s.Name, key)
			}
		}
	}
	if got, want := checksum(t, second), checksum(t, first); got != want {
		t.Error("an upgrade that changes no credential rolls the pods")
	}
}

// TestNewKeyInAnOldSecret is an upgrade to a chart that needs one more key: that one is made, the others stay.
func TestNewKeyInAnOldSecret(t *testing.T) {
	old := secret("siglab-mysql", map[string]string{"mysql-password": "kept-as-it-is"})
	got := one[*corev1.Secret](t, render(t, input{cluster: cluster(old)}), "siglab-mysql")
	if string(got.Data["mysql-password"]) != "kept-as-it-is" || len(got.Data["mysql-root-password"]) != 32 {
		t.Errorf("got %d and %d characters, want the old password and a new one of 32", len(got.Data["mysql-password"]), len(got.Data["mysql-root-password"]))
	}
}

// TestANewNamespace is `helm install --create-namespace`, which renders before it makes the namespace.
func TestANewNamespace(t *testing.T) {
	system := &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}
	objects := render(t, input{cluster: append(cluster()[:0], system)})
	one[*corev1.Secret](t, objects, "siglab-auth")
}

func TestWithoutAClusterSecretsMustBeNamed(t *testing.T) {
	values := []string{"auth.existingSecret", "mysql.auth.existingSecret", "mongo.auth.existingSecret", "redis.auth.existingSecret"}
	for left := range values {
		var set []string
		for i, v := range values {
			if i != left {
				set = append(set, v+"=cred")
			}
		}
		_, err := tryRender(t, input{set: strings.Join(set, ",")})
		if err == nil {
			t.Errorf("without %s it renders", values[left])
			continue
		}
		for i, v := range values {
			if got, want := regexp.MustCompile(`(^|[ ;])`+regexp.QuoteMeta(v)).MatchString(err.Error()), i == left; got != want {
				t.Errorf("without %s the refusal names %s: %v, want %v\n%v", values[left], v, got, want, err)
			}
		}
		if !strings.Contains(err.Error(), "No cluster answers this rendering") {
			t.Errorf("the refusal does not say why: %v", err)
		}
	}
}

func TestExternalStoresNeedNamedSecrets(t *testing.T) {
	for _, store := range []string{"mysql", "mongo", "redis"} {
		_, err := tryRender(t, input{set: fmt.Sprintf("%s.enabled=false,%s.external.host=db", store, store), cluster: cluster()})
		if err == nil || !strings.Contains(err.Error(), store+".auth.existingSecret") {
			t.Errorf("%s: got %v, want a refusal that names its existingSecret", store, err)
		}
	}
	for _, store := range []string{"mongo", "redis"} {
		set := fmt.Sprintf("%s.enabled=false,%s.external.host=db,%s.auth.enabled=false", store, store, store)
		if _, err := tryRender(t, input{set: set, cluster: cluster()}); err != nil {
			t.Errorf("%s without a password: %v", store, err)
		}
	}
}

func TestNamedSecretsAreChecked(t *testing.T) {
	full := map[string]string{"jwt-keys": "a", "admin-username": "b", "admin-password": "c", "mysql-password": "d", "mysql-root-password": "e", "mongo-password": "f", "redis-password": "g"}
	objects := render(t, input{set: named, cluster: cluster(secret("cred", full))})
	if n := len(all[*corev1.Secret](objects)); n != 0 {
		t.Errorf("%d Secrets were rendered, want none when all are named", n)
	}
	_, err := tryRender(t, input{set: named, cluster: cluster()})
	if err == nil || !strings.Contains(err.Error(), `Secret "cred", which auth.existingSecret names, is not in namespace "lab"`) {
		t.Errorf("a Secret that is not there: got %v", err)
	}
	for key := range full {
		some := maps.Clone(full)
		delete(some, key)
		_, err := tryRender(t, input{set: named, cluster: cluster(secret("cred", some))})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has no key %q", key)) {
			t.Errorf("a Secret without %s: got %v", key, err)
		}
	}
	changed := maps.Clone(full)
	changed["redis-password"] = "another"
	if checksum(t, objects) == checksum(t, render(t, input{set: named, cluster: cluster(secret("cred", changed))})) {
		t.Error("a changed credential in a named Secret does not roll the pods")
	}
}

// TestCredentialsStayOutOfSight looks for generated values anywhere but in their Secrets.
func TestCredentialsStayOutOfSight(t *testing.T) {
	in := input{cluster: cluster()}
	objects := render(t, in)
	var credentials []string
	for _, s := range all[*corev1.Secret](objects) {
		for key, v := range s.Data {
			if key != "admin-username" {
				credentials = append(credentials, string(v), base64.StdEncoding.EncodeToString(v))
			}
		}
	}
	for _, o := range objects {
		if o.kind == "Secret" {
			continue
		}
		for _, c := range credentials {
			if strings.Contains(o.text, c) {
				t.Errorf("%s %s shows a credential", o.kind, o.name)
			}
		}
	}
}

// TestCredentialFiles follows each NAME_FILE variable to a file of the mounted volume and to a key of a Secret.
func TestCredentialFiles(t *testing.T) {
	external := "mongo.enabled=false,mongo.auth.keys.uri=uri,redis.enabled=false,redis.auth.keys.url=url"
	for _, tt := range []struct {
		name, set string
		want      []string
		without   []string
	}{
		{"bundled", "", []string{"ADMIN_PASSWORD_FILE", "JWT_KEYS_FILE", "MONGO_PASSWORD_FILE", "MYSQL_PASSWORD_FILE", "REDIS_PASSWORD_FILE"}, nil},
		{"connection strings", external, []string{"ADMIN_PASSWORD_FILE", "JWT_KEYS_FILE", "MONGO_URI_FILE", "MYSQL_PASSWORD_FILE", "REDIS_URL_FILE"}, []string{"MONGO_HOST", "MONGO_USER", "REDIS_HOST"}},
		{"Sentinel", "redis.enabled=false,redis.external.url=redis://s:26379/0?master_name=m", []string{"ADMIN_PASSWORD_FILE", "JWT_KEYS_FILE", "MONGO_PASSWORD_FILE", "MYSQL_PASSWORD_FILE", "REDIS_PASSWORD_FILE"}, []string{"REDIS_HOST"}},
		{"no passwords", "mongo.enabled=false,mongo.external.host=m,mongo.auth.enabled=false,redis.enabled=false,redis.external.host=r,redis.auth.enabled=false",
			[]string{"ADMIN_PASSWORD_FILE", "JWT_KEYS_FILE", "MYSQL_PASSWORD_FILE"}, []string{"MONGO_USER"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects := render(t, input{set: named + "," + tt.set})
			pod := podSpecs(objects)["Deployment siglab"]
			files := map[string]bool{}
			for _, source := range pod.Volumes[0].Projected.Sources {
				for _, item := range source.Secret.Items {
					files[pod.Containers[0].VolumeMounts[0].MountPath+"/"+item.Path] = true
				}
			}
			config := one[*corev1.ConfigMap](t, objects, "siglab").Data
			var got []string
			for name, value := range config {
				if strings.HasSuffix(name, "_FILE") {
					got = append(got, name)
					if !files[value] {
						t.Errorf("%s is %s, which no source provides", name, value)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(files) != len(got) {
				t.Errorf("%d files are mounted for %d variables", len(files), len(got))
			}
			for _, name := range tt.without {
				if v, ok := config[name]; ok {
					t.Errorf("%s is %q, want it unset", name, v)
				}
			}
		})
	}
}

func TestMigratingAccount(t *testing.T) {
	pod := podSpecs(render(t, input{set: named + ",mysql.auth.migrateUsername=ddl"}))["Deployment siglab"]
	if got := env(pod.InitContainers[0])["MYSQL_MIGRATE_USER"]; got != "ddl" {
		t.Errorf("the migration runs as %q, want ddl", got)
	}
	for _, e := range pod.Containers[0].Env {
		if strings.HasPrefix(e.Name, "MYSQL_MIGRATE") {
			t.Errorf("the serving container has %s", e.Name)
		}
	}
	for _, source := range pod.Volumes[0].Projected.Sources {
		for _, item := range source.Secret.Items {
			if strings.Contains(item.Key, "migrate") {
				t.Errorf("the shared volume shows %s", item.Key)
			}
		}
	}
}
