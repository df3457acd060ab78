#!/usr/bin/env bash
# The experiments behind the figures that Weir publishes. Each trains without the part that it is measured on.
#
#   scripts/experiments.sh DATA [OUT] [NAME...]     (make experiments DATA=FOLDER [OUT=FOLDER] [NAMES="csic sites"])
#
#   csic           CSIC 2010: one class, fit on its normal training file, measured on its development part
#   left-1         a fifth of the domains left out, and the payloads of gotestwaf and waf_bypass
#   left-2         the same, and those of httpparams and grananqvist
#   left-3         the same, and those of payloads_all_the_things
#   payloads       a fifth of the domains and a fifth of the payloads of every source left out; look-alikes
#   sites          16 sites, trained on 60% of the time, measured on the rest with payloads of gotestwaf and waf_bypass
#   mutated        the payloads of `payloads`, mutated with operators held out of training
#   contamination  `payloads` trained again with 1% and 5% attacks mixed in unlabelled
#
# Bundles, reports and results go to OUT/NAME (default: target/experiments). A bundle that is there is not trained again:
# remove its folder to do so. FIT_ARGS holds more arguments for every fit. Without names all run, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."

train=${WEIR_TRAIN:-target/release/weir-train}
data=${1:-${DATA:-}}
out=${2:-${OUT:-target/experiments}}
shift $(($# > 2 ? 2 : $#))
all=(csic left-1 left-2 left-3 payloads sites mutated contamination)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${all[@]}")
read -ra fit_args <<<"${FIT_ARGS:-}"

fail() {
  printf 'experiments: %s\n' "$@" >&2
  exit "${code:-1}"
}

[ -n "$data" ] || code=2 fail "name the folder with browsing/, attacks/ and csic2010/: make experiments DATA=FOLDER"
[ -d "$data" ] || code=2 fail "$data is no folder: give the one that holds browsing/, attacks/ and csic2010/"
[ -x "$train" ] || fail "$train is missing: run make build first"
command -v python3 >/dev/null || fail "python3 is missing: install it"

attacks=$data/attacks
lists=(
  "$attacks/payloads_all_the_things/intruder.jsonl"
  "$attacks/fuzzdb/attack.jsonl"
  "$attacks/httpparams/payload_full.csv"
  "$attacks/gotestwaf/cases.jsonl"
  "$attacks/waf_bypass/payloads.jsonl"
  "$attacks/crs/regression.jsonl"
  "$attacks/grananqvist/payloads.csv"
)
browsing=$data/browsing/legit_dev.jsonl.gz
sites=$data/browsing/sites_ordered.jsonl.gz
csic=$data/csic2010
for file in "${lists[@]}" "$browsing" "$sites" "$csic/train_normal.jsonl.gz" "$csic/dev.jsonl.gz"; do
  [ -r "$file" ] || fail "$file is missing or not readable"
done

# The domains of sites_ordered, which overlaps with legit_dev: the base that a site starts from must not have seen them.
site_domains=google.com,google.co.il,forever21.com,ace.co.il,alm.co.il,pcloud.com,box.com,ivory.co.il,quora.com
site_domains+=,fruugoindia.com,storyonline.co.il,taobao.com

mkdir -p "$out/data"
shared=$out/data

# Runs "$@" to make a file or folder that is not there yet; a half-made one never stands under the name.
make_once() {
  local what=$1
  shift
  if [ ! -e "$what" ]; then
    rm -rf "$what.part"
    "$@" "$what.part"
    mv "$what.part" "$what"
  fi
}

# Junk is dropped from what trains, and kept in what measures: there it counts against the detector.
prepare() {
  make_once "$shared/domains" "$train" split --by domain "$browsing" --out
  make_once "$shared/attacks.jsonl" "$train" import payloads "${lists[@]}" --out 2>"$shared/import.log"
  make_once "$shared/attacks-all.jsonl" "$train" import payloads "${lists[@]}" --keep-junk --out 2>>"$shared/import.log"
}

# fit BUNDLE ARGUMENTS...
fit() {
  local bundle=$1
  shift
  if [ ! -e "$bundle/manifest.json" ]; then
    "$train" fit "$@" "${fit_args[@]}" --seed 1 --out "$bundle"
  fi
}

# evaluate FOLDER NAME ARGUMENTS...: OUT/FOLDER/NAME.{html,json,txt}
evaluate() {
  local folder=$out/$1 name=$2
  shift 2
  "$train" evaluate "$@" --report "$folder/$name.html" --json-to "$folder/$name.json" | tee "$folder/$name.txt" | sed -n '1,14p'
}

csic() {
  fit "$out/csic/bundle" --normal "$csic/train_normal.jsonl.gz" --drop-cookie JSESSIONID
  evaluate csic result --bundle "$out/csic/bundle" --normal "$csic/dev.jsonl.gz" --attack "$csic/dev.jsonl.gz" \
    --seen "$csic/train_normal.jsonl.gz" --drop-cookie JSESSIONID
}

# left FOLDER SOURCES
left() {
  local folder=$out/$1
  make_once "$folder/train" "$train" split --by source --leave "$2" "$shared/attacks.jsonl" --out
  make_once "$folder/test" "$train" split --by source --leave "$2" "$shared/attacks-all.jsonl" --out
  fit "$folder/bundle" --normal "$shared/domains/train.jsonl" --exposure "$folder/train/train.jsonl"
  evaluate "$1" result --bundle "$folder/bundle" --normal "$shared/domains/test.jsonl" --attack "$folder/test/test.jsonl" --by domain
}

# Junk that only measures may hold is split by the same hash: a payload stays on its side.
split_payloads() {
  make_once "$shared/payloads-train" "$train" split --by payload --share 0.2 "$shared/attacks.jsonl" --out
  make_once "$shared/payloads-test" "$train" split --by payload --share 0.2 "$shared/attacks-all.jsonl" --out
}

payloads() {
  split_payloads
  python3 scripts/lookalikes.py build "$attacks" tests/data/lookalikes.jsonl >"$out/payloads/lookalikes.jsonl"
  fit "$out/payloads/bundle" --normal "$shared/domains/train.jsonl" --exposure "$shared/payloads-train/train.jsonl"
  evaluate payloads result --bundle "$out/payloads/bundle" --normal "$shared/domains/test.jsonl" \
    --attack "$shared/payloads-test/test.jsonl" --lookalikes "$out/payloads/lookalikes.jsonl"
}

sites() {
  local folder=$out/sites pair=gotestwaf,waf_bypass
  make_once "$folder/base-data" "$train" split --by domain --leave "$site_domains" "$browsing" --out
  make_once "$folder/time" "$train" split --by time --share 0.4 "$sites" --out
  make_once "$folder/train" "$train" split --by source --leave "$pair" "$shared/attacks.jsonl" --out
  make_once "$folder/test" "$train" split --by source --leave "$pair" "$shared/attacks-all.jsonl" --out
  fit "$folder/base" --normal "$folder/base-data/train.jsonl" --exposure "$folder/train/train.jsonl"
  fit "$folder/bundle" --normal "$folder/time/train.jsonl" --exposure "$folder/train/train.jsonl" --base "$folder/base"
  evaluate sites result --bundle "$folder/bundle" --against "$folder/base" --normal "$folder/time/test.jsonl" \
    --attack "$folder/test/test.jsonl" --per-host 200 --by time
}

mutated() {
  split_payloads
  fit "$out/payloads/bundle" --normal "$shared/domains/train.jsonl" --exposure "$shared/payloads-train/train.jsonl"
  "$train" mutate --payloads "$shared/payloads-test/test.jsonl" --operators held-out --per-payload 1 --seed 7 \
    --out "$out/mutated/payloads.jsonl" --originals "$out/mutated/plain.jsonl"
  for kind in plain payloads; do
    evaluate mutated "$kind" --bundle "$out/payloads/bundle" --normal "$shared/domains/test.jsonl" --attack "$out/mutated/$kind.jsonl"
  done
}

contamination() {
  local folder=$out/contamination
  split_payloads
  # Of the payloads that training does not know, one half contaminates and the other measures.
  make_once "$folder/halves" "$train" split --by payload --share 0.1 "$shared/payloads-test/test.jsonl" --out
  local measure=$folder/halves/test.jsonl hidden=$folder/halves/train.jsonl
  for share in 0 0.01 0.05; do
    local normal=$shared/domains/train.jsonl bundle=$folder/bundle-$share
    if [ "$share" = 0 ]; then
      bundle=$out/payloads/bundle
    else
      normal=$folder/normal-$share.jsonl
      make_once "$normal" "$train" contaminate --normal "$shared/domains/train.jsonl" --attack "$hidden" --share "$share" --seed 1 --out
    fi
    fit "$bundle" --normal "$normal" --exposure "$shared/payloads-train/train.jsonl"
    evaluate contamination "result-$share" --bundle "$bundle" --normal "$shared/domains/test.jsonl" --attack "$measure"
  done
}

for name in "${names[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || code=2 fail "there is no experiment $name: choose from ${all[*]}"
done
for name in "${names[@]}"; do
  printf '\n== %s\n' "$name"
  mkdir -p "$out/$name" "$out/payloads"
  started=$SECONDS
  prepare
  case $name in
    left-1) left left-1 gotestwaf,waf_bypass ;;
    left-2) left left-2 httpparams,grananqvist ;;
    left-3) left left-3 payloads_all_the_things ;;
    *) "$name" ;;
  esac
  printf '%s: %d minutes\n' "$name" $(((SECONDS - started + 59) / 60))
done
printf '\n'
python3 scripts/experiments.py "$out"
