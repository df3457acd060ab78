#!/usr/bin/env bash
# Checks the tools a build needs and says what to install, before cargo fails halfway with something less clear.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0
need() { # need COMMAND WHAT HOW
  if ! command -v "$1" >/dev/null 2>&1; then
    printf 'weir: %s is missing. %s\n' "$2" "$3" >&2
    missing=1
  fi
}

need cargo "Rust (cargo)" "Install it with rustup (https://rustup.rs): the toolchain is pinned in rust-toolchain.toml."
need cc "A C compiler (cc)" "On Debian: apt-get install build-essential   (the TLS library compiles C code)"
need python3 "Python 3" "On Debian: apt-get install python3 python3-pip   (pip fetches ONNX Runtime)"
[ "$missing" = 0 ] || exit 1

# A distribution's cargo ignores rust-toolchain.toml and may be years older than the pinned toolchain.
wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
have=$(cargo --version | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$have" ]; then
  echo "weir: cargo does not run here (see the message above)." >&2
  exit 1
fi
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "weir: Rust $wanted or newer is needed, this is $have. Install it with rustup (https://rustup.rs)." >&2
  exit 1
fi
