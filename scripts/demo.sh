#!/usr/bin/env bash
# Builds what the demo runs and starts it. Arguments go to the demo program (`scripts/demo.sh --help`).
set -euo pipefail
cd "$(dirname "$0")/.."

echo "Building weir, weir-train and the demo (the first time takes several minutes)"
cargo build --release -p weir-waf -p weir-train --bin weir --bin weir-train --example demo
# Replaces this shell, so that Ctrl-C and signals reach the demo itself.
exec target/release/examples/demo "$@"
