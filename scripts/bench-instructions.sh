#!/usr/bin/env bash
# Instructions for one request, from its bytes to its scores, counted by callgrind: the same on every machine whose
# processor has the same vector instructions, and not disturbed by what else runs. Each figure is the difference of two runs
# of the bench `detection`, divided by the requests between them.
# Usage: scripts/bench-instructions.sh [GROUP...]   groups of the bench, such as scoring_warm
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "install valgrind: apt-get install valgrind" >&2; exit 1; }
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(extraction scoring_profiled scoring_cold scoring_warm)
few=16
many=80

export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.onnxruntime}"
program="${BENCH:-$(cargo bench -p weir-waf --bench detection --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"name":"detection".*"executable":"\([^"]*\)".*/\1/p' | tail -1)}"

count() { # group, shape, requests
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --bench \
    --sample-count 1 --sample-size "$3" "^$1\\..*$2\$|^detection::$1::$2\$" 2>&1 | sed -n 's/.*Collected : //p'
}

printf '| shape |'
printf ' %s |' "${groups[@]}"
printf '\n|---|'
printf -- '---:|%.0s' "${groups[@]}"
printf '\n'
for shape in page form "30 fields" "json 8 KiB" "json 64 KiB"; do
  printf '| %s |' "$shape"
  for group in "${groups[@]}"; do
    low=$(count "$group" "$shape" "$few")
    high=$(count "$group" "$shape" "$many")
    printf ' %s |' "$(( (high - low) / (many - few) ))"
  done
  printf '\n'
done
