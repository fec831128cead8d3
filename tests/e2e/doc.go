// Package e2e holds the tests of a whole release on a real cluster: `make e2e` installs the chart with helm into namespaces of its own, loads
// it through the Ingress, breaks it in each way that operation brings, and prints a table of what clients saw.
//
// They use the current context of kubectl, and these variables:
//
//	IMAGE        the service's image as the cluster's nodes know it (siglab:dev)
//	NEXT_IMAGE   an image of a later version, with one migration more; made by BUILD_IMAGE when it is not set
//	BUILD_IMAGE  a shell command that builds an image and brings it to the nodes, called with a tag and a folder
//	INGRESS_URL  where the ingress controller listens (http://127.0.0.1:8080)
//	INGRESS_CLASS  its class (empty: the cluster's default)
//	GATEWAY      a Gateway that takes routes of all namespaces (gateway/public); empty: no HTTPRoute is tried
//	GATEWAY_URL  where it listens (INGRESS_URL)
//	PROXY_CIDR   addresses the proxy calls from, which the service then believes (0.0.0.0/0: this cluster is for tests)
//	TRAEFIK_IMAGE  a Traefik, which the tests run beside the cluster's own proxy (traefik:v3.6.7); they reach it on a node's address
//	RATE         requests a second of the load (120)
//
// What they cannot show is that NetworkPolicies hold where no network enforces them; tests/chart proves their content, and a kind cluster with an
// enforcing network runs these same tests.
package e2e
