package slo_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// prometheus is the URL of one.
type prometheus string

// sample is one element of an instant query's answer. A native histogram has its count as its value.
type sample struct {
	Metric map[string]string
	Value  float64
}

func (p prometheus) get(path string, query url.Values, data any) error {
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Get(string(p) + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: status %d: %s", path, res.StatusCode, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", query.Get("query"), answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// query asks for an instant vector, now.
func (p prometheus) query(expr string) ([]sample, error) {
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	if data.ResultType != "vector" {
		return nil, fmt.Errorf("%s: got a %s, want a vector", expr, data.ResultType)
	}
	var vector []struct {
		Metric    map[string]string
		Value     []any
		Histogram []json.RawMessage
	}
	if err := json.Unmarshal(data.Result, &vector); err != nil {
		return nil, err
	}
	var samples []sample
	for _, v := range vector {
		text := "0"
		switch {
		case len(v.Value) == 2:
			text = fmt.Sprint(v.Value[1])
		case len(v.Histogram) == 2:
			var h struct{ Count string }
			if err := json.Unmarshal(v.Histogram[1], &h); err != nil {
				return nil, err
			}
			text = h.Count
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{v.Metric, value})
	}
	return samples, nil
}

// shows says whether a panel would show anything: now, or at any time of the last 15 minutes.
func (p prometheus) shows(expr string, instant bool) (bool, error) {
	if instant {
		samples, err := p.query(expr)
		return len(samples) > 0, err
	}
	now := time.Now()
	var data struct{ Result []json.RawMessage }
	err := p.get("/api/v1/query_range", url.Values{
		"query": {expr}, "start": {fmt.Sprint(now.Add(-15 * time.Minute).Unix())}, "end": {fmt.Sprint(now.Unix())}, "step": {"15"}}, &data)
	return len(data.Result) > 0, err
}

// exemplars are the trace ids of a query's exemplars in the last ten minutes.
func (p prometheus) exemplars(expr string) ([]string, error) {
	now := time.Now()
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	err := p.get("/api/v1/query_exemplars", url.Values{
		"query": {expr}, "start": {fmt.Sprint(now.Add(-10 * time.Minute).Unix())}, "end": {fmt.Sprint(now.Unix())}}, &data)
	var ids []string
	for _, series := range data {
		for _, e := range series.Exemplars {
			ids = append(ids, e.Labels["trace_id"])
		}
	}
	return ids, err
}

// numbers leaves out what is not a number: a ratio without traffic.
func numbers(samples []sample) []sample {
	var some []sample
	for _, s := range samples {
		if !math.IsNaN(s.Value) {
			some = append(some, s)
		}
	}
	return some
}

// firing asks whether an alert of the release fires.
func (p prometheus) firing(t testing.TB, alert, severity string) bool {
	t.Helper()
	samples, err := p.query(fmt.Sprintf(`ALERTS{namespace=%q,job=%q,alertname=%q,severity=%q,alertstate="firing"}`, namespace, release, alert, severity))
	if err != nil {
		t.Fatal(err)
	}
	return len(samples) > 0
}

// target is one that Prometheus scrapes.
type target struct {
	Labels    map[string]string
	Health    string
	LastError string
}

func (p prometheus) targets() ([]target, error) {
	var data struct{ ActiveTargets []target }
	err := p.get("/api/v1/targets", url.Values{"state": {"active"}}, &data)
	var ours []target
	for _, t := range data.ActiveTargets {
		if t.Labels["namespace"] == namespace {
			ours = append(ours, t)
		}
	}
	return ours, err
}

// rule is one of the release's, as Prometheus has loaded it.
type rule struct{ Name, Query, Type, Health, LastError string }

func (p prometheus) rules() ([]rule, error) {
	var data struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, err
	}
	var ours []rule
	for _, g := range data.Groups {
		for _, kind := range []string{"sli", "budget", "slo", "saturation"} {
			if g.Name == fmt.Sprintf("siglab-%s-%s-%s", kind, namespace, release) {
				ours = append(ours, g.Rules...)
			}
		}
	}
	return ours, nil
}
