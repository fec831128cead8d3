// Package slo shows, on a cluster with prometheus-operator, that the release can be seen and is held to its SLO: scraped, recorded,
// drawn, traced, loaded by k6, and paged for when it is really broken. One command, make slo, runs all of it.
//
// It needs kubectl and helm on PATH, KUBECONFIG, a Prometheus behind the Service prometheus in the namespace monitoring that takes remote
// writes, an image of the service in the cluster (SIGLAB_IMAGE, siglab:dev) and a machine that pods can reach: the node itself, since the fault injection and the trace collector run in the test's process, at the
// node's address. Without a cluster the tests skip; with CI=true they fail.
package slo_test
