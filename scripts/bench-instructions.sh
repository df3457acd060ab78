#!/usr/bin/env bash
# Instructions for one request, counted by callgrind: not disturbed by what else runs, and the same on every machine with the
# same compiler, C library and kind of processor. ONNX Runtime, which chooses its code by processor, is left out of what is
# compared.
#
#   scripts/bench-instructions.sh            tables, and a comparison with benches/instructions.txt (`.ci/run` does this)
#   scripts/bench-instructions.sh --accept   records what is counted now
#   scripts/bench-instructions.sh --docs     writes the tables into docs/performance.md, with where the instructions went
#                                            (REPLAY=FILE: for requests of a capture, JSON Lines or .gz, as well)
set -euo pipefail
cd "$(dirname "$0")/.."

action=check
case "${1:-}" in
  "") ;;
  --accept) action=accept ;;
  --docs) action=docs ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
if ! command -v valgrind >/dev/null; then
  echo "instructions: no valgrind, so nothing is counted (apt-get install valgrind)" >&2
  # The tables stay as they are.
  [ "$action" = docs ]; exit
fi

export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.onnxruntime}"
program="${BENCH:-$(cargo bench --profile counted -p weir-scoring --bench instructions --no-run --message-format=json |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One file for each call of the function that the bench calls for each case.
function=$(nm "$program" | sed -n 's/.* [tT] \(.*measured_case.*\)/\1/p')
count() { # cases, folder
  mkdir "$2"
  valgrind --tool=callgrind --demangle=no --callgrind-out-file="$2/part" --compress-strings=no --compress-pos=no \
    --toggle-collect="$function" --dump-after="$function" "$program" "$1" >"$2.cases" 2>"$2.log" ||
    { cat "$2.log" >&2; exit 1; }
}

count guard "$work/guard"
scripts/instructions.py "$action" "$work/guard" "$work/guard.cases"
if [ "$action" = docs ]; then
  if [ -n "${REPLAY:-}" ]; then
    case $REPLAY in
      *.gz) gzip -dc "$REPLAY" >"$work/replay.jsonl" ;;
      *) cp "$REPLAY" "$work/replay.jsonl" ;;
    esac
    export REPLAY=$work/replay.jsonl
  else
    # Set to nothing, it would name a file all the same.
    unset REPLAY
  fi
  count rooms "$work/rooms"
  scripts/instructions.py rooms "$work/rooms" "$work/rooms.cases"
fi
