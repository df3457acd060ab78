#!/usr/bin/env bash
# The experiments that judge the detector, on data that training does not see:
#
#   1. a fifth of the domains and two whole payload collections (gotestwaf, waf_bypass) are left out and tested on;
#   2. CSIC 2010: fit on its normal training file, evaluate on its development part.
#
#   scripts/held-out.sh DATA [OUT]     (make held-out DATA=FOLDER [OUT=FOLDER])
#
# Bundles and reports go to OUT (default: target/held-out).
set -euo pipefail
cd "$(dirname "$0")/.."

train=target/release/weir-train
data=${1:-${DATA:-}}
out=${2:-${OUT:-target/held-out}}

fail() {
  printf 'held-out: %s\n' "$@" >&2
  exit "${code:-1}"
}

[ -n "$data" ] || code=2 fail "name the folder with browsing/, attacks/ and csic2010/: make held-out DATA=FOLDER"
[ -d "$data" ] || code=2 fail "$data is no folder: give the one that holds browsing/, attacks/ and csic2010/"
[ -x "$train" ] || fail "$train is missing: run make build first"

attacks=$data/attacks
seen=(
  "$attacks/payloads_all_the_things/intruder.jsonl"
  "$attacks/fuzzdb/attack.jsonl"
  "$attacks/httpparams/payload_full.csv"
  "$attacks/crs/regression.jsonl"
  "$attacks/grananqvist/payloads.csv"
)
unseen=("$attacks/gotestwaf/cases.jsonl" "$attacks/waf_bypass/payloads.jsonl")
browsing=$data/browsing/legit_dev.jsonl.gz
csic=$data/csic2010
for file in "${seen[@]}" "${unseen[@]}" "$browsing" "$csic/train_normal.jsonl.gz" "$csic/dev.jsonl.gz"; do
  [ -r "$file" ] || fail "$file is missing or not readable"
done

mkdir -p "$out"
"$train" split --by domain "$browsing" --out "$out/domains"
"$train" import payloads "${seen[@]}" --out "$out/seen.jsonl" 2>"$out/import.log"
# Nothing is left out of the test but what is no attack by its own list: junk counts against the detector there.
"$train" import payloads "${unseen[@]}" --keep-junk --out "$out/unseen.jsonl" 2>>"$out/import.log"

printf '\n== domains and payload collections never trained on\n'
"$train" fit --normal "$out/domains/train.jsonl" --exposure "$out/seen.jsonl" --seed 1 --out "$out/browsing-model"
"$train" evaluate --bundle "$out/browsing-model" --normal "$out/domains/test.jsonl" --attack "$out/unseen.jsonl" \
  --report "$out/browsing.html"

printf '\n== CSIC 2010\n'
"$train" fit --normal "$csic/train_normal.jsonl.gz" --drop-cookie JSESSIONID --seed 1 --out "$out/csic-model"
"$train" evaluate --bundle "$out/csic-model" --normal "$csic/dev.jsonl.gz" --attack "$csic/dev.jsonl.gz" \
  --drop-cookie JSESSIONID --report "$out/csic.html"
