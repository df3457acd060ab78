#!/usr/bin/env bash
# Builds what the soak runs and starts it. Arguments go to the program (`scripts/soak.sh --help`).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p weir-waf --bin weir --example soak
# Replaces this shell, so that Ctrl-C and signals reach the program itself.
exec target/release/examples/soak "$@"
