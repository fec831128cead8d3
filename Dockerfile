# syntax=docker/dockerfile:1
# One file for amd64 and arm64: the compiler runs on the builder's own architecture and crosses over.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false

# Dependencies first: this layer lives until go.mod or go.sum change.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY app ./app
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=dev
ARG COMMIT=unknown
ARG DATE=unknown
# For a debugger: GCFLAGS="all=-N -l" and STRIP="".
ARG GCFLAGS=
ARG STRIP="-s -w"
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -gcflags "$GCFLAGS" \
      -ldflags "$STRIP -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" \
      -o /out/siglab ./app/cmd/siglab

FROM gcr.io/distroless/static-debian13:nonroot
ARG VERSION=dev
ARG COMMIT=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.title="SIGLAB" \
      org.opencontainers.image.description="Inventory and maintenance records of a university's laboratories" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$COMMIT \
      org.opencontainers.image.created=$DATE
# Go's own default; a debugger's tools know a Go program by it.
ENV GOTRACEBACK=single
COPY --from=build /out/siglab /usr/local/bin/siglab
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8000 9090
# Only Docker asks this way; in Kubernetes the chart's probes do. No shell is needed for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/siglab", "check", "http://127.0.0.1:8000/api/sistema/health"]
ENTRYPOINT ["/usr/local/bin/siglab"]
CMD ["serve"]
