#!/bin/sh
# Fuzzes the parsers: sh scripts/fuzz.sh MINUTES [TARGET..]. Needs cargo-fuzz; see fuzz/README.md.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10}
[ $# -gt 0 ] && shift
targets=${*:-safetensors torch onnx rdf tiff picture cache}
# cargo-fuzz needs unstable compiler flags: use a nightly toolchain if there is one, else allow them in the stable compiler.
if cargo +nightly --version >/dev/null 2>&1; then
    nightly=+nightly
else
    nightly=
    export RUSTC_BOOTSTRAP=1
fi
env -u RUSTC_BOOTSTRAP cargo test --quiet --test cpu write_seeds -- --ignored >/dev/null
cd fuzz
failed=
for target in $targets; do
    echo "== $target, $minutes minutes"
    cargo $nightly fuzz run --fuzz-dir . --sanitizer none -O -a "$target" -- -max_total_time=$((minutes * 60)) \
        -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 -print_final_stats=1 || failed="$failed $target"
done
if [ -n "$failed" ]; then
    echo "found something:$failed (fuzz/artifacts)"
    exit 1
fi
