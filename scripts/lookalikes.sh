#!/usr/bin/env bash
# Harmless requests that look like attacks, through a bundle: how many it flags and blocks at its own budgets, and why.
#
#   scripts/lookalikes.sh DATA BUNDLE [OUT]     (make lookalikes DATA=FOLDER [BUNDLE=models/base])
#
# Read are tests/data/lookalikes.jsonl and, under DATA/attacks: gotestwaf's false-pos set, waf_bypass's FP class, and the
# CRS tests that must not match and that their authors call false positives. None of them trains a model.
# Requests and verdicts go to OUT (default: target/lookalikes).
set -euo pipefail
cd "$(dirname "$0")/.."

weir=target/release/weir
data=${1:-${DATA:-}}
bundle=${2:-${BUNDLE:-models/base}}
out=${3:-${OUT:-target/lookalikes}}

fail() {
  printf 'lookalikes: %s\n' "$@" >&2
  exit "${code:-1}"
}

[ -n "$data" ] || code=2 fail "name the folder with attacks/: make lookalikes DATA=FOLDER [BUNDLE=FOLDER]"
[ -d "$data" ] || code=2 fail "$data is no folder: give the one that holds attacks/"
[ -d "$bundle" ] || code=2 fail "$bundle is no folder: give a bundle, such as models/base"
[ -x "$weir" ] || fail "$weir is missing: run make build first"
command -v python3 >/dev/null || fail "python3 is missing: install it"

mkdir -p "$out"
python3 scripts/lookalikes.py build "$data/attacks" tests/data/lookalikes.jsonl >"$out/requests.jsonl"
"$weir" score --bundle "$bundle" --explain <"$out/requests.jsonl" >"$out/verdicts.jsonl"
python3 scripts/lookalikes.py report "$out/requests.jsonl" "$out/verdicts.jsonl"
