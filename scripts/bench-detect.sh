#!/usr/bin/env bash
# Builds what the detection benchmark runs and starts it. Further arguments go to the program
# (`target/release/examples/bench-detect --help`).
#
#   scripts/bench-detect.sh DATA [--verbose] [--json]     (make bench-detect DATA=FOLDER [BUNDLE=DIR] [ARGS=--verbose])
#
# DATA holds attacks/gotestwaf/cases.jsonl and attacks/waf_bypass/payloads.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:-${DATA:-}}
if [ -z "$data" ]; then
  echo "bench-detect: name the folder that holds attacks/: make bench-detect DATA=FOLDER" >&2
  exit 2
fi
shift || true

cargo build --release -p weir-waf --bin weir --example bench-detect
# Replaces this shell, so that Ctrl-C and signals reach the program itself.
exec target/release/examples/bench-detect "$data" --bundle "${BUNDLE:-models/base}" "$@"
