#!/usr/bin/env bash
# Trains the base bundle that ships in models/base from public traffic and attack lists.
#
#   scripts/base-model.sh DATA [OUT]     (make model DATA=FOLDER [OUT=FOLDER])
#
# DATA is a folder with browsing/ and attacks/ as listed below. Only sets whose licence allows a shipped model are read:
# benchmark sets, false-positive sets and the normal values of HttpParamsDataset never reach training.
set -euo pipefail
cd "$(dirname "$0")/.."

train=target/release/weir-train
data=${1:-${DATA:-}}
out=${2:-${OUT:-models/base}}

fail() {
  printf 'base-model: %s\n' "$@" >&2
  exit "${code:-1}"
}

if [ -z "$data" ]; then
  cat >&2 <<'TEXT'
base-model: name the folder with the training sets: make model DATA=FOLDER

It must hold, converted to request records (docs/training.md):
  browsing/legit_dev.jsonl.gz       legitimate requests of the open-appsec WAF comparison project (Apache-2.0)
and these payload collections, as published:
  attacks/payloads_all_the_things   github.com/swisskyrepo/PayloadsAllTheThings (MIT)
  attacks/fuzzdb                    github.com/fuzzdb-project/fuzzdb (see its licence)
  attacks/httpparams                github.com/Morzeux/HttpParamsDataset (MIT), attacks only
  attacks/gotestwaf                 github.com/wallarm/gotestwaf (MIT), without its false-positive set
  attacks/waf_bypass                github.com/nemesida-waf/waf-bypass (MIT), without its false-positive set
  attacks/crs                       github.com/coreruleset/coreruleset regression tests (Apache-2.0)
  attacks/grananqvist               github.com/grananqvist/Machine-Learning-Web-Application-Firewall-and-Dataset (MIT)
TEXT
  exit 2
fi
[ -d "$data" ] || code=2 fail "$data is no folder: give the one that holds browsing/ and attacks/"
[ -x "$train" ] || fail "$train is missing: run make build first"

normal=$data/browsing/legit_dev.jsonl.gz
lists=(
  "$data/attacks/payloads_all_the_things/intruder.jsonl"
  "$data/attacks/fuzzdb/attack.jsonl"
  "$data/attacks/httpparams/payload_full.csv"
  "$data/attacks/gotestwaf/cases.jsonl"
  "$data/attacks/waf_bypass/payloads.jsonl"
  "$data/attacks/crs/regression.jsonl"
  "$data/attacks/grananqvist/payloads.csv"
)
for file in "$normal" "${lists[@]}"; do
  [ -r "$file" ] || fail "$file is missing or not readable"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/weir-base-model.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$train" import payloads "${lists[@]}" --out "$work/attacks.jsonl"
# Rows set aside for review come from real requests: they stay out of the folder that is committed.
"$train" fit --normal "$normal" --exposure "$work/attacks.jsonl" --quarantine target/base-model.quarantine.jsonl --seed 7 --out "$out"
