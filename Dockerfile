# syntax=docker/dockerfile:1.7
# The program on a runtime without a shell or a package manager, as a user without rights.
#
#   docker build -t redis-consumer .
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t redis-consumer:0.1.0 .
#   docker build --build-arg FEATURES=ort -t redis-consumer .
#   docker build --target demo -t redis-consumer-demo .
#   docker buildx build --platform linux/amd64,linux/arm64 -t redis-consumer .
#
# Each platform is compiled on itself: natively, or by emulation, which takes much longer. Nothing is cross-compiled.
# No HEALTHCHECK: that is the orchestrator's.
ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# What a build needs: C for the cryptography and the allocator, which on arm64 is made for kernels of any page size.
FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS toolchain
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0

# Dependencies are a layer of their own: it stays until a manifest, the lock file or the flags change.
# Empty sources stand in for ours; benches and tests leave the manifest, since their files are not sent.
FROM toolchain AS dependencies
# Such as `ort`, for models on ONNX Runtime.
ARG FEATURES=
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY crates/batch-plan/Cargo.toml crates/batch-plan/
COPY crates/bioimage/Cargo.toml crates/bioimage/
COPY crates/bioimage-model/Cargo.toml crates/bioimage-model/
COPY crates/cell-analysis/Cargo.toml crates/cell-analysis/
COPY crates/cell-pictures/Cargo.toml crates/cell-pictures/
COPY crates/demo/Cargo.toml crates/demo/
COPY proto proto
RUN sed -i '/^\[\[\(bench\|test\)\]\]/,/^$/d' Cargo.toml \
    && mkdir assets src crates/batch-plan/src crates/bioimage/src crates/bioimage-model/src crates/cell-analysis/src crates/cell-pictures/src crates/demo/src \
    && echo 'fn main() {}' >src/main.rs \
    && cp src/main.rs crates/demo/src/main.rs \
    && touch src/lib.rs crates/batch-plan/src/lib.rs crates/bioimage/src/lib.rs crates/bioimage-model/src/lib.rs crates/cell-analysis/src/lib.rs crates/cell-pictures/src/lib.rs \
    && cargo build --profile dist --locked --features "${FEATURES}" --bin redis-consumer \
    && rm -r src crates/*/src

FROM dependencies AS build
ARG FEATURES=
ARG REVISION=unknown
COPY crates crates
COPY src src
COPY templates templates
COPY assets assets
# Older than the stand-in's output, the sources would be passed over.
RUN touch assets/* src/main.rs src/lib.rs crates/*/src/lib.rs \
    && COMMIT="${REVISION}" cargo build --profile dist --locked --features "${FEATURES}" --bin redis-consumer \
    && cp target/dist/redis-consumer /redis-consumer \
    && cp /lib/*-linux-gnu/libgcc_s.so.1 /libgcc_s.so.1

# The demo: classical models behind a model server, for machines without trained ones. Only its own image has it.
FROM build AS build-demo
# Its sample images and its network are compiled in.
COPY tests/fixtures tests/fixtures
COPY models models
RUN touch crates/demo/src/main.rs \
    && cargo build --profile dist --locked --package redis-consumer-demo \
    && cp target/dist/redis-consumer-demo /redis-consumer-demo

FROM gcr.io/distroless/base-nossl-debian13:nonroot AS demo
COPY --from=build /libgcc_s.so.1 /usr/lib/libgcc_s.so.1
COPY --from=build-demo /redis-consumer-demo /usr/local/bin/redis-consumer-demo
COPY LICENSE LICENSE-APACHE LICENSE-MIT crates/cell-analysis/src/cellpose/LICENSE-CELLPOSE crates/cell-analysis/src/stardist/LICENSE-STARDIST crates/cell-analysis/src/stardist/clipper/LICENSE-BOOST /usr/share/doc/redis-consumer/
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/redis-consumer-demo"]

# glibc, CA certificates and a user of number 65532; of what the other base images add, libgcc is all that is needed.
FROM gcr.io/distroless/base-nossl-debian13:nonroot AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="redis-consumer" \
      org.opencontainers.image.description="Takes microscopy jobs off Redis, segments them with TensorFlow Serving, and stores the result" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="gcr.io/distroless/base-nossl-debian13:nonroot"
COPY --from=build /libgcc_s.so.1 /usr/lib/libgcc_s.so.1
COPY --from=build /redis-consumer /usr/local/bin/redis-consumer
COPY LICENSE LICENSE-APACHE LICENSE-MIT crates/cell-analysis/src/cellpose/LICENSE-CELLPOSE crates/cell-analysis/src/stardist/LICENSE-STARDIST crates/cell-analysis/src/stardist/clipper/LICENSE-BOOST /usr/share/doc/redis-consumer/
USER 65532:65532
# Metrics and probes.
EXPOSE 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/redis-consumer"]
