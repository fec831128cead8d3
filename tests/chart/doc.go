// Package chart holds the rendering tests of charts/siglab: Helm's own engine, strict decoding into Kubernetes types, and
// assertions on what is in the objects. Its only code outside tests makes the chart's README from the comments of values.yaml.
package chart
