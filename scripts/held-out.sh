#!/usr/bin/env bash
# The two short experiments that judge the detector on data that training does not see: CSIC 2010, and domains and payload
# collections (gotestwaf, waf_bypass) left out. All of them: scripts/experiments.sh.
#
#   scripts/held-out.sh DATA [OUT]     (make held-out DATA=FOLDER [OUT=FOLDER])
#
# Bundles and reports go to OUT (default: target/held-out).
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${DATA:-}}
exec scripts/experiments.sh "$data" "${2:-${OUT:-target/held-out}}" csic left-1
