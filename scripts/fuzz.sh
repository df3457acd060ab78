#!/usr/bin/env bash
# Fuzzes every target in fuzz/ for SECONDS_EACH seconds (20 by default), or only those named as arguments.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-20}
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "weir: cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
  exit 1
fi

# libFuzzer needs unstable compiler flags; RUSTC_BOOTSTRAP allows them on the pinned stable toolchain.
export RUSTC_BOOTSTRAP=1
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd fuzz/fuzz_targets && ls -- *.rs | sed 's/\.rs$//')

for target in "${targets[@]}"; do
  echo "== fuzzing $target for ${seconds}s"
  mkdir -p "fuzz/corpus/$target"
  # Committed seeds are read, never written: what the fuzzer finds goes to the ignored corpus folder.
  folders=("fuzz/corpus/$target")
  [ -d "fuzz/seeds/$target" ] && folders+=("fuzz/seeds/$target")
  cargo fuzz run --target-dir fuzz/target "$target" "${folders[@]}" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 2>&1 |
    # libFuzzer ends with pages of dictionary suggestions that nobody reads in a CI log.
    grep -vE '# Uses: |ecommended dictionary'
done
