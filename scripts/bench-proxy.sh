#!/usr/bin/env bash
# Builds what the comparison with nginx runs and starts it. Arguments go to the program (`scripts/bench-proxy.sh --help`).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v nginx >/dev/null 2>&1 || { echo "bench-proxy: nginx is needed beside Weir: install it (it need not run)" >&2; exit 2; }
cargo build --release -p weir-waf --bin weir --example bench-proxy
# Replaces this shell, so that Ctrl-C and signals reach the program itself.
exec target/release/examples/bench-proxy "$@"
