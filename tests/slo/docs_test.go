package slo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestDocumentSaysWhatTheValuesSay holds the table of docs/slo.md, which repeats the numbers for readers, against the chart.
func TestDocumentSaysWhatTheValuesSay(t *testing.T) {
	var values struct {
		SLO struct {
			Availability struct{ Objective float64 }
			Latency      struct {
				ThresholdSeconds float64 `yaml:"thresholdSeconds"`
				Objective        float64
			}
			Throughput struct {
				RequestsPerSecond float64 `yaml:"requestsPerSecond"`
			}
			Memory    struct{ Bytes float64 }
			Period    string
			BurnRates []struct {
				Severity, Long, Short string
				Factor                float64
			} `yaml:"burnRates"`
			Floor struct {
				RequestsPerSecond float64 `yaml:"requestsPerSecond"`
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/slo.md")
	if err != nil {
		t.Fatal(err)
	}
	slo := values.SLO
	period := strings.TrimSuffix(slo.Period, "d")
	want := []string{
		fmt.Sprintf("less than %.3g %% of requests end in a 5xx, over %s days", 100-slo.Availability.Objective, period),
		fmt.Sprintf("%v %% of the served requests take %v s or less, over %s days", slo.Latency.Objective, slo.Latency.ThresholdSeconds, period),
		fmt.Sprintf("more than %v requests a second per instance", slo.Throughput.RequestsPerSecond),
		fmt.Sprintf("less than %v MB resident per instance", slo.Memory.Bytes/1e6),
		fmt.Sprintf("%v requests a\nsecond are %v an hour", slo.Floor.RequestsPerSecond, slo.Floor.RequestsPerSecond*3600),
	}
	unit := strings.NewReplacer("m", " min", "h", " h", "d", " d")
	for _, b := range slo.BurnRates {
		want = append(want, fmt.Sprintf("| %s | %v time", b.Severity, b.Factor), fmt.Sprintf("| %s and %s |", unit.Replace(b.Long), unit.Replace(b.Short)))
	}
	for _, w := range want {
		if !strings.Contains(string(page), w) {
			t.Errorf("docs/slo.md does not say %q", w)
		}
	}
}

// TestEveryAlertHasARunbook: the page that an alert names is there, and starts with three commands.
func TestEveryAlertHasARunbook(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(chart, "templates", "prometheusrule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	alerts, books := 0, 0
	index, err := os.ReadFile("../../docs/runbooks/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rules)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok {
			alerts++
			if !strings.Contains(string(index), "| "+name+" |") {
				t.Errorf("docs/runbooks/README.md does not list %s", name)
			}
		}
		_, file, ok := strings.Cut(line, "runbook_url: {{ $base }}/")
		if !ok {
			continue
		}
		books++
		file = strings.TrimSpace(file)
		book, err := os.ReadFile(filepath.Join("../../docs/runbooks", file))
		if err != nil {
			t.Error(err)
			continue
		}
		_, first, _ := strings.Cut(string(book), "## First\n")
		first, _, _ = strings.Cut(first, "\n## ")
		commands := 0
		for line := range strings.Lines(first) {
			if strings.HasPrefix(line, "    ") {
				commands++
			}
		}
		if commands != 3 {
			t.Errorf("%s: got %d first commands, want 3", file, commands)
		}
	}
	if alerts == 0 || books != alerts {
		t.Errorf("got %d runbooks for %d alerts", books, alerts)
	}
}
