#!/usr/bin/env bash
# Puts the pinned ONNX Runtime library into .onnxruntime/ of this checkout (or into the folder given as $1).
#
# It comes from the public Python wheel, fetched with pip and checked against the sha256 below; no Python package is
# installed. Running it again does nothing when the right library is already there.
#
#   ONNXRUNTIME_WHEEL=FILE   use this wheel instead of asking pip (machines without a package index)
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.31.1
target=${1:-.onnxruntime}
library=libonnxruntime.so.$version

say() { printf 'onnxruntime: %s\n' "$*"; }
fail() {
  printf 'onnxruntime: %s\n' "$@" >&2
  exit 1
}

# Wheel and library are both pinned: the first guards the download, the second a file left by an older run.
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    platform=manylinux_2_28_x86_64
    wheel_sha=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536
    library_sha=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
    ;;
  Linux-aarch64)
    platform=manylinux_2_28_aarch64
    wheel_sha=0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc
    library_sha=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
    ;;
  *)
    fail "no pinned build for $(uname -s) on $(uname -m): Linux on x86_64 or aarch64 is supported." \
      "With a library of your own (version $version or newer), set ORT_DYLIB_PATH=/path/to/libonnxruntime.so and skip this step."
    ;;
esac

sha_of() { sha256sum "$1" | cut -d ' ' -f 1; }

if [ -f "$target/$library" ]; then
  if [ "$(sha_of "$target/$library")" = "$library_sha" ]; then
    say "$version is in $target"
    exit 0
  fi
  say "$target/$library is not the pinned file; replacing it"
fi

command -v python3 >/dev/null 2>&1 ||
  fail "python3 is missing (it unpacks the wheel)." "On Debian: apt-get install python3 python3-pip"

mkdir -p "$target"
work=$(mktemp -d "$target/.download.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ -n "${ONNXRUNTIME_WHEEL:-}" ]; then
  [ -f "$ONNXRUNTIME_WHEEL" ] || fail "ONNXRUNTIME_WHEEL=$ONNXRUNTIME_WHEEL: no such file"
  wheel=$ONNXRUNTIME_WHEEL
else
  pip=()
  for candidate in "python3 -m pip" "pip3" "pip"; do
    # shellcheck disable=SC2086  # the first candidate is three words
    if $candidate --version >/dev/null 2>&1; then
      read -r -a pip <<<"$candidate"
      break
    fi
  done
  [ ${#pip[@]} -gt 0 ] || fail "pip is missing (it fetches ONNX Runtime from the Python package index)." \
    "On Debian: apt-get install python3-pip" \
    "Without network: fetch onnxruntime-$version-cp312-cp312-$platform.whl elsewhere and set ONNXRUNTIME_WHEEL=FILE"

  say "fetching $version for $platform (about 24 MB)"
  "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform "$platform" --python-version 312 --dest "$work" "onnxruntime==$version" ||
    fail "pip could not fetch onnxruntime==$version (its message is above)." \
      "Check the network or pip's index settings, or set ONNXRUNTIME_WHEEL=FILE to a wheel fetched elsewhere."
  wheel=$(find "$work" -name 'onnxruntime-*.whl' | head -n 1)
  [ -n "$wheel" ] || fail "pip said it fetched onnxruntime==$version, but no wheel is there"
fi

found=$(sha_of "$wheel")
[ "$found" = "$wheel_sha" ] || fail "the wheel's sha256 is not the pinned one; nothing was installed." \
  "wanted $wheel_sha" "found  $found"

python3 - "$wheel" "$work" "$library" <<'PY'
import pathlib, sys, zipfile

wheel, folder, library = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
wanted = {f"onnxruntime/capi/{library}": library, "onnxruntime/LICENSE": "LICENSE",
          "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
with zipfile.ZipFile(wheel) as archive:
    for member, name in wanted.items():
        (folder / name).write_bytes(archive.read(member))
PY
[ "$(sha_of "$work/$library")" = "$library_sha" ] || fail "the library inside the wheel is not the pinned one"

chmod 755 "$work/$library"
mv -f "$work/LICENSE" "$work/ThirdPartyNotices.txt" "$target/"
# Renamed into place last, so that a process that starts meanwhile sees the old library or the new one, never half of one.
mv -f "$work/$library" "$target/$library"
say "$version is in $target"
