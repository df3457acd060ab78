#!/usr/bin/env bash
# Measures weir beside other proxies with a prepared measuring kit: a folder with bench.sh, check.py, lib.sh, peers/ and
# conf/ (origin on 127.0.0.1:9000; certificates conf/cert.pem and conf/key.pem).
#
#   PERF=FOLDER benches/compare/run.sh [max|rate|tls|check ...]     default: check max
#   PEERS=nginx,hyper,modsec1,weir   SHAPES=abcd   SECS=3   REPS=3   BUNDLE=models/base   MODE=enforce
set -euo pipefail
cd "$(dirname "$0")/../.."

: "${PERF:?set PERF to the prepared measuring kit (see the head of this script)}"
export PERF
root=$PWD
peers=${PEERS:-nginx,hyper,modsec1,weir}
bundle=$(realpath "${BUNDLE:-models/base}")
[ -x target/release/weir ] || { echo "target/release/weir is missing: make build" >&2; exit 1; }

config=$PERF/conf/weir.yaml
sed -e "s#@CERTIFICATES@#$PERF/conf#; s#@BUNDLE@#$bundle#; s#@MODE@#${MODE:-enforce}#" benches/compare/weir.yaml > "$config"
target/release/weir check --config "$config"

# The kit starts every peer through a small script like this one.
cat > "$PERF/peers/weir.sh" <<PEER
#!/bin/bash
NAME=weir PORT=9120 TLSPORT=9220 CMD="$root/target/release/weir run --config $config"
. \${PERF}/lib.sh
PEER
chmod +x "$PERF/peers/weir.sh"

check() {
  trap '"$PERF/peers/weir.sh" stop; "$PERF/peers/origin.sh" stop' RETURN
  "$PERF/peers/origin.sh" start
  "$PERF/peers/weir.sh" start
  python3 "$PERF/check.py" 9120
}

measure() { # measure MODE [more arguments]
  local mode=$1 out=$PERF/results/$1-$(date +%Y%m%dT%H%M%S).csv
  shift
  # WAFS tells the kit which peers inspect, so that it uses few connections on the large bodies.
  WAFS=weir "$PERF/bench.sh" "$mode" --peers "$peers" --secs "${SECS:-3}" --out "$out" "$@"
}

[ $# -gt 0 ] || set -- check max
for mode in "$@"; do
  case $mode in
    check) check ;;
    max) measure max --shapes "${SHAPES:-abcd}" --reps "${REPS:-3}" ;;
    rate) measure rate --shapes "${SHAPES:-a}" --rates "${RATES:-500,2000}" ;;
    tls) peers=${PEERS:-nginx,haproxy,weir} measure tls --shapes "${SHAPES:-a}" ;;
    *) echo "unknown mode $mode: check, max, rate or tls" >&2; exit 2 ;;
  esac
done
