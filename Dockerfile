# Two images from one build: `weir` (the proxy with its model) and `shop` (the demo application behind it).
#
#   docker build --target weir -t weir .
#   docker run -p 8080:8080 -v ./weir.yaml:/opt/weir/config/weir.yaml:ro weir

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The library first: it changes far less often than the sources.
COPY Cargo.toml ./
COPY scripts/onnxruntime.sh scripts/
RUN scripts/onnxruntime.sh
COPY . .
RUN cargo build --release --locked -p weir-waf -p weir-train --bin weir --bin weir-train --example demo

FROM debian:bookworm-slim AS base
# A fixed id, so that mounted folders can be given to it.
RUN groupadd --gid 10001 weir && useradd --uid 10001 --gid weir --no-create-home --shell /usr/sbin/nologin weir

FROM base AS shop
COPY --from=build /src/target/release/examples/demo /usr/local/bin/demo
USER 10001:10001
EXPOSE 9000
ENTRYPOINT ["/usr/local/bin/demo"]
CMD ["shop", "--listen", "0.0.0.0:9000"]

FROM base AS weir
# The same layout as a checkout, so that the relative paths in config/ hold: weir finds lib/weir/ above its own folder.
COPY --from=build /src/target/release/weir /src/target/release/weir-train /opt/weir/bin/
COPY --from=build /src/.onnxruntime/ /opt/weir/lib/weir/
COPY models/base/ /opt/weir/models/base/
COPY config/ /opt/weir/config/
COPY LICENSE-APACHE LICENSE-MIT /opt/weir/
ENV PATH=/opt/weir/bin:$PATH
# Captures and decision records; the only place that weir writes to.
RUN install -d -o weir -g weir /var/lib/weir
WORKDIR /var/lib/weir
VOLUME /var/lib/weir
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/weir/bin/weir"]
CMD ["run", "--config", "/opt/weir/config/weir.yaml"]
