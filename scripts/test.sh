#!/bin/sh
# Every check that must pass before a change is merged: formatting, lints, documentation, tests on the GPU, in a browser, in windows, of the
# application, of the C interface and from Python.
#
#     sh scripts/test.sh
#
# Without a GPU driver the tests fail (sh scripts/setup.sh installs a software one). An empty UNET_REQUIRE_GPU skips them
# instead.
set -eu
cd "$(dirname "$0")/.."

# Installs what is missing: a linker, a Vulkan driver.
sh scripts/setup.sh >&2

# A value set by the caller takes precedence, even an empty one.
UNET_REQUIRE_GPU=${UNET_REQUIRE_GPU-1}
if [ -n "$UNET_REQUIRE_GPU" ]; then export UNET_REQUIRE_GPU; else unset UNET_REQUIRE_GPU; fi

# Each step compiles once, so nothing is kept for a next time.
export CARGO_INCREMENTAL=0

# Without a desktop Mesa prints a harmless error per device; the program silences it for itself.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

start=$(date +%s)
step() {
    now=$(($(date +%s) - start))
    printf '== %d:%02d %s\n' $((now / 60)) $((now % 60)) "$*" >&2
    "$@"
}

step cargo fmt --check
step cargo fmt --check --manifest-path fuzz/Cargo.toml
step cargo fmt --check --all --manifest-path tests/web/Cargo.toml
step cargo fmt --check --manifest-path python/Cargo.toml
step python3 scripts/check_dependencies.py
step cargo clippy --all-targets -- -D warnings
# Every feature alone: none may depend on another that it does not name.
for feature in '' std-fs threads image-formats ome-zarr pytorch bioimage builtin-models vulkan-alias; do
    step cargo clippy --lib --no-default-features --features "$feature" -- -D warnings
done
step env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
step cargo test
# Prints `skipped: ..` last where the browser or its compiler cannot be had.
step sh scripts/test_web.sh > target/test_web.log || { cat target/test_web.log; exit 1; }
cat target/test_web.log
step sh scripts/test_window.sh > target/test_window.log || { cat target/test_window.log; exit 1; }
cat target/test_window.log
step sh scripts/test_studio.sh > target/test_studio.log || { cat target/test_studio.log; exit 1; }
cat target/test_studio.log
step sh scripts/test_capi.sh > target/test_capi.log || { cat target/test_capi.log; exit 1; }
cat target/test_capi.log
# The same for what cannot be downloaded.
step sh scripts/test_python.sh > target/test_python.log || { cat target/test_python.log; exit 1; }
cat target/test_python.log
printf '== all good\n' >&2
sed -n '$s/^skipped: /== but the browser was skipped: /p' target/test_web.log >&2
sed -n '$s/^skipped: /== but of the windows was skipped: /p' target/test_window.log >&2
sed -n '$s/^skipped: /== but of the application was skipped: /p' target/test_studio.log >&2
sed -n '$s/^skipped: /== but the Python package was skipped: /p' target/test_python.log >&2
sed -n '$s/^skipped: /== but of the C interface was skipped: /p' target/test_capi.log >&2
