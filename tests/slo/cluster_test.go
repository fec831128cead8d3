package slo_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	namespace = "siglab-slo"
	release   = "siglab"
	chart     = "../../charts/siglab"
)

// cluster is the release under test.
type cluster struct {
	node    string // an address of this machine that pods reach
	service string // the API's URL, from this machine
	prom    prometheus
	values  []string // flags that every helm upgrade repeats
}

// run executes a program and returns what it printed; it fails the test when the program does.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return strings.TrimSpace(stdout.String()), nil
}

func kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "kubectl", append([]string{"--namespace", namespace}, args...)...)
}

// eventually waits until check returns nil, and says how long it took. The last error is the failure.
func eventually(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(begin).Round(time.Second)
		}
		if time.Since(begin) > limit {
			t.Fatalf("%s: not after %v: %v", what, limit, err)
		}
		time.Sleep(time.Second) // the pace of asking, not what is waited for
	}
}

// needCluster skips, or fails in CI, when there is none.
func needCluster(t *testing.T) {
	t.Helper()
	out, err := try("kubectl", "get", "--raw", "/readyz")
	if err == nil {
		out, err = try("kubectl", "get", "crd", "servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com")
	}
	if err == nil {
		out, err = try("helm", "version")
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no cluster with prometheus-operator: %v\n%s", err, out)
	}
	t.Skipf("no cluster with prometheus-operator: %v", err)
}

// serviceAddress is where a Service answers, as seen from the node.
func serviceAddress(t testing.TB, ns, name string) string {
	t.Helper()
	return run(t, "kubectl", "--namespace", ns, "get", "service", name, "--output", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
}

// upgrade installs or changes the release.
func (c *cluster) upgrade(t testing.TB, wait bool, args ...string) {
	t.Helper()
	all := append([]string{"upgrade", "--install", release, chart, "--namespace", namespace, "--timeout", "10m"}, c.values...)
	if wait {
		all = append(all, "--wait")
	}
	if out, err := try("helm", append(all, args...)...); err != nil {
		pods, _ := try("kubectl", "--namespace", namespace, "get", "pods", "--output", "wide")
		logs, _ := try("kubectl", "--namespace", namespace, "logs", "--selector", "app.kubernetes.io/component=api", "--all-containers", "--tail=15", "--prefix")
		t.Fatalf("helm: %v\n%s\n%s\n%s", err, out, pods, logs)
	}
}

// secret reads a key of one of the release's Secrets.
func secret(t testing.TB, name, key string) string {
	t.Helper()
	value, err := base64.StdEncoding.DecodeString(kubectl(t, "get", "secret", name, "--output", fmt.Sprintf("jsonpath={.data.%s}", key)))
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// readyPods are the names of the service's pods that are ready.
func readyPods(t testing.TB) []string {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				DeletionTimestamp *time.Time
			}
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	out := kubectl(t, "get", "pods", "--selector", "app.kubernetes.io/component=api", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range list.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" && pod.Metadata.DeletionTimestamp == nil {
				names = append(names, pod.Metadata.Name)
			}
		}
	}
	return names
}

// job waits for the end of a revision's load test and returns k6's exit code and what it printed.
func job(t testing.TB, limit time.Duration) (code int, log string) {
	t.Helper()
	revision := run(t, "helm", "list", "--namespace", namespace, "--filter", "^"+release+"$", "--output", "json")
	var releases []struct{ Revision string }
	if err := json.Unmarshal([]byte(revision), &releases); err != nil || len(releases) != 1 {
		t.Fatalf("helm list: %v in %s", err, revision)
	}
	name := fmt.Sprintf("%s-load-test-%s", release, releases[0].Revision)
	eventually(t, limit, "the end of job "+name, func() error {
		out := kubectl(t, "get", "job", name, "--output", "jsonpath={.status.conditions[?(@.status=='True')].type}")
		if strings.Contains(out, "Complete") || strings.Contains(out, "Failed") {
			return nil
		}
		return fmt.Errorf("conditions %q", out)
	})
	log = kubectl(t, "logs", "job/"+name, "--tail=60")
	out := kubectl(t, "get", "pods", "--selector", "job-name="+name, "--output", "jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}")
	if _, err := fmt.Sscan(out, &code); err != nil {
		t.Fatalf("exit code %q: %v", out, err)
	}
	return code, log
}
