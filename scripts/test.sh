#!/usr/bin/env bash
# Runs every test of the workspace and ends with one line of totals. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

status=0
cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?

# cargo prints one "test result" line a test binary: add them up, so that the last line says how it went.
awk '
  /^test result: / {
    binaries += 1
    for (i = 1; i < NF; i++) {
      if ($(i + 1) == "passed;") passed += $i
      if ($(i + 1) == "failed;") failed += $i
      if ($(i + 1) == "ignored;") ignored += $i
    }
  }
  END { printf "\nAll test binaries together: %d passed, %d failed, %d ignored (%d test binaries)\n", passed, failed, ignored, binaries }
' "$log"

if [ "$status" = 0 ]; then
  echo "make test: everything passed"
else
  grep -E '^test .* FAILED$' "$log" | sort -u || true
  echo "make test: FAILED (cargo test ended with $status)"
fi
exit "$status"
