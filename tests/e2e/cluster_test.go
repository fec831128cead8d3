package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const chartDir = "../../charts/siglab"

// setting is a variable of the environment, or its default.
func setting(name, or string) string { return cmp.Or(os.Getenv(name), or) }

// try runs a command to its end, at most for the given time, and returns what it printed.
func try(limit time.Duration, stdin string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// until asks a condition again and again until it holds, and fails the test with its last word after the limit.
func until(t *testing.T, limit time.Duration, what string, ok func() (bool, string)) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		done, said := ok()
		if done {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("after %s still waiting for %s: %s", limit, what, said)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// release is one helm release in a namespace of its own.
type release struct {
	name, namespace string
}

// kubectl runs kubectl in the release's namespace, and fails the test when it fails.
func (r release) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(3*time.Minute, "", "kubectl", append([]string{"-n", r.namespace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply gives the API server a manifest.
func apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := try(time.Minute, manifest, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// tryHelm runs helm in the release's namespace.
func (r release) tryHelm(limit time.Duration, args ...string) (string, error) {
	return try(limit, "", "helm", append([]string{"-n", r.namespace}, args...)...)
}

// helm is tryHelm for what must succeed.
func (r release) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.tryHelm(8*time.Minute, args...)
	if err != nil {
		t.Logf("pods:\n%s", r.state())
		t.Fatal(err)
	}
	return out
}

// state is what a person would look at first.
func (r release) state() string {
	out, _ := try(time.Minute, "", "kubectl", "-n", r.namespace, "get", "pods,hpa", "-o", "wide")
	events, _ := try(time.Minute, "", "kubectl", "-n", r.namespace, "get", "events", "--sort-by=.lastTimestamp")
	lines := strings.Split(strings.TrimSpace(events), "\n")
	return out + strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// pod is the little that the tests read of a pod.
type pod struct {
	Metadata struct {
		Name              string
		DeletionTimestamp *string
		Labels            map[string]string
	}
	Status struct {
		Phase             string
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []struct {
			Name         string
			RestartCount int
			LastState    struct {
				Terminated *struct {
					Reason   string
					ExitCode int
				}
			}
		}
		InitContainerStatuses []struct {
			Name         string
			RestartCount int
		}
	}
}

func (p pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True" && p.Metadata.DeletionTimestamp == nil
		}
	}
	return false
}

func (p pod) restarts() int {
	n := 0
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}

// pods returns the pods of one component of the release, those that end included.
func (r release) pods(t *testing.T, component string) []pod {
	t.Helper()
	var list struct{ Items []pod }
	out := r.kubectl(t, "get", "pods", "-l", "app.kubernetes.io/instance="+r.name+",app.kubernetes.io/component="+component, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// settled waits until the API has n pods, all ready and none ending.
func (r release) settled(t *testing.T, limit time.Duration, n int) time.Duration {
	t.Helper()
	return until(t, limit, fmt.Sprintf("%d ready pods and no other", n), func() (bool, string) {
		pods, ready := r.pods(t, "api"), 0
		for _, p := range pods {
			if p.ready() {
				ready++
			}
		}
		return len(pods) == n && ready == n, fmt.Sprintf("%d pods, %d ready\n%s", len(pods), ready, r.state())
	})
}

// secret returns the decoded values of a Secret.
func (r release) secret(t *testing.T, name string) map[string]string {
	t.Helper()
	var s struct{ Data map[string][]byte }
	if err := json.Unmarshal([]byte(r.kubectl(t, "get", "secret", name, "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

// makeNamespace makes a namespace for the test's time, with a Pod Security level that the API server enforces.
func makeNamespace(t *testing.T, name, level string) {
	t.Helper()
	apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{
		"pod-security.kubernetes.io/enforce":%q,"pod-security.kubernetes.io/warn":%q}}}`, name, level, level))
	t.Cleanup(func() {
		if _, err := try(3*time.Minute, "", "kubectl", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Log(err)
		}
	})
}
