#!/usr/bin/env bash
# Where the processor time of whole requests goes: perf samples Weir while it answers the shapes of `make bench`, and the
# table goes into docs/performance.md. REPLAY=CAPTURE (JSON Lines or .gz) adds what `weir score` does with recorded traffic.
set -euo pipefail
cd "$(dirname "$0")/.."

for program in perf:linux-perf addr2line:binutils; do
  command -v "${program%%:*}" >/dev/null || { echo "samples: no ${program%%:*}, so nothing is sampled (apt-get install ${program##*:})" >&2; exit 0; }
done
cargo build --profile counted -p weir-waf --bin weir
cargo build --release -p weir-waf --example bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target/release/examples/bench --weir target/counted/weir --samples "$work" --seconds 5
if [ -n "${REPLAY:-}" ]; then
  export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.onnxruntime}"
  echo "samples: of $REPLAY"
  gzip -dcf "$REPLAY" >"$work/requests"
  perf record --quiet -e cpu-clock -F 4999 -o "$work/replay" target/counted/weir score --bundle models/base <"$work/requests" >/dev/null
  echo replay >>"$work/cases"
fi
scripts/samples.py "$work" "$PWD/target/counted/weir"
