#!/usr/bin/env bash
# Builds what the measurement runs and starts it. Arguments go to the program (`scripts/bench.sh --help`).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p weir-waf --bin weir --example bench
# Where Debian installs nginx, which is not on everybody's path.
export PATH=$PATH:/usr/sbin
# Replaces this shell, so that Ctrl-C and signals reach the program itself.
exec target/release/examples/bench "$@"
