# Two images from one build: `weir` (the proxy with its model) and `shop` (the demo application behind it).
#
#   docker build --target weir -t weir .
#   docker run -p 8080:8080 -v ./weir.yaml:/etc/weir/weir.yaml:ro weir

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
COPY --from=build /src/target/release/weir /src/target/release/weir-train /usr/local/bin/
# weir looks for lib/weir/ beside and above its own folder: /usr/local/lib/weir needs no setting.
COPY --from=build /src/.onnxruntime/ /usr/local/lib/weir/
COPY models/base/ /usr/local/share/weir/models/base/
COPY config/weir.yaml /etc/weir/weir.yaml
RUN install -d -o weir -g weir /var/lib/weir
WORKDIR /var/lib/weir
VOLUME /var/lib/weir
USER 10001:10001
EXPOSE 8080 9900
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["run", "--config", "/etc/weir/weir.yaml"]
