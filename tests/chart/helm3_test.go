package chart_test

import (
	"maps"
	"slices"
	"testing"

	helm3loader "helm.sh/helm/v3/pkg/chart/loader"
	helm3 "helm.sh/helm/v3/pkg/chartutil"
	helm3engine "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
)

// TestHelm3RendersTheSame renders with the engine of Helm 3 too, and wants the very same text.
func TestHelm3RendersTheSame(t *testing.T) {
	for _, set := range []string{named, named + "," + everything, named + ",autoscaling.enabled=false,networkPolicy.enabled=false,redis.enabled=false,redis.external.host=r"} {
		want, err := tryRender(t, input{set: set})
		if err != nil {
			t.Fatal(err)
		}
		c, err := helm3loader.Load(chartDir)
		if err != nil {
			t.Fatal(err)
		}
		values, err := strvals.Parse(set)
		if err != nil {
			t.Fatal(err)
		}
		capabilities := helm3.DefaultCapabilities.Copy()
		full, err := helm3.ToRenderValues(c, values, helm3.ReleaseOptions{Name: "siglab", Namespace: namespace, Revision: 1, IsInstall: true}, capabilities)
		if err != nil {
			t.Fatal(err)
		}
		got, err := helm3engine.Render(c, full)
		if err != nil {
			t.Fatal(err)
		}
		if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
			t.Errorf("with %q Helm 3 renders files %q, Helm 4 %q", set, g, w)
		}
		for file := range want {
			if got[file] != want[file] {
				t.Errorf("with %q %s differs between Helm 3 and Helm 4", set, file)
			}
		}
	}
}
