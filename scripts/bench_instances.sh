#!/bin/sh
# Scores instances of the built-in models beside those of scikit-image on the same images, with the same code, and times them.
#
#     sh scripts/bench_instances.sh DATA [DATA ..] [-m MODEL ..]
#
# DATA is a folder with images/ and labels/. Needs Python 3.10 or later with venv; the first run installs scikit-image, SciPy and
# tifffile into target/instances. VENV=DIR uses your own virtual environment, UNET=PROGRAM your own unet instead of a release build.
set -eu
cd "$(dirname "$0")/.."
case "${1:-}" in "" | -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'; exit 2 ;; esac
venv=${VENV:-}
if [ -z "$venv" ]; then
    venv=${CARGO_TARGET_DIR:-target}/instances
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -c "import skimage, scipy, tifffile" 2>/dev/null || "$venv/bin/pip" install -q scikit-image scipy tifffile
fi
if [ -z "${UNET:-}" ]; then
    cargo build --release --quiet
    UNET=${CARGO_TARGET_DIR:-target}/release/unet
fi
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/bench_instances.py "$UNET" "$@"
