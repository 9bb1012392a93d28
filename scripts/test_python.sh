#!/bin/sh
# Tests the Python package in a clean environment: `pip install ./python`, types, doctests, the examples of docs/python.md, and
# python/tests, which compare it with the program. Then the plugin for napari, without a window.
#
#     sh scripts/test_python.sh [PYTEST OPTIONS, such as -m slow]
#
# What it needs is downloaded: maturin, numpy, pytest, mypy, tqdm; for parts that are skipped in words without them dask, xarray,
# PyYAML and others, and napari with Qt. If the former fails, the last line says `skipped: ..` and the status is 0. The build is a debug one; `pip install ./python` alone makes a release build.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=$root/target/python
manifest=python/Cargo.toml

say() { printf 'python: %s\n' "$*" >&2; }
skip() {
    printf 'skipped: %s\n' "$*"
    exit 0
}

python=${PYTHON:-$(command -v python3 || true)}
[ -n "$python" ] || skip "no python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || skip "$("$python" --version) is older than 3.10"
cargo fetch --manifest-path $manifest >&2 || skip "packages of the bindings cannot be fetched"

say "$("$python" --version), in a new environment"
rm -rf "$build/venv"
"$python" -m venv "$build/venv" >&2 || skip "python3 has no venv (Debian's package is python3-venv)"
venv=$build/venv/bin/python
"$venv" -m pip install --quiet 'maturin>=1.9.4,<2' numpy pytest mypy tqdm >&2 ||
    skip "maturin, numpy, pytest, mypy or tqdm cannot be downloaded"
# Each of its tests is skipped where a package is missing.
extras='dask[distributed] xarray pyyaml'
# Large: with `-m slow` alone.
case "$*" in *slow*) extras="$extras ray[data]" ;; esac
for extra in $extras roifile shapely "nbclient nbformat ipykernel matplotlib pandas"; do
    "$venv" -m pip install --quiet $extra >&2 || say "tests with $extra are skipped: it cannot be downloaded"
done

# In the folder of `cargo test`: packages that both have are built once.
export CARGO_TARGET_DIR="$root/target" CARGO_INCREMENTAL=0
# The build settings that maturin uses, so that the checks reuse its work.
say "lints"
PYO3_BUILD_EXTENSION_MODULE=1 cargo clippy --quiet --manifest-path $manifest -- -D warnings
say "pip install ./python"
PATH="$build/venv/bin:$PATH" MATURIN_PEP517_ARGS="--profile dev" \
    "$venv" -m pip install --quiet --no-build-isolation ./python >&2
unset CARGO_TARGET_DIR CARGO_INCREMENTAL

say "types"
"$venv" -m mypy --strict --cache-dir "$build/mypy" --package unet_wgpu >&2
"$venv" -m mypy.stubtest --mypy-config-file python/pyproject.toml unet_wgpu._native >&2
say "tests"
# The program to compare with: that of the latest `cargo test`, or built now.
UNET_PROGRAM=${UNET_PROGRAM:-$root/target/debug/unet}
[ -x "$UNET_PROGRAM" ] || cargo build --quiet --bin unet
export UNET_PROGRAM
package=$("$venv" -c 'import os, unet_wgpu; print(os.path.dirname(unet_wgpu.__file__))')
"$venv" -m pytest --quiet -p no:cacheprovider --config-file python/pyproject.toml --rootdir python \
    --doctest-modules --doctest-glob='*.md' --doctest-continue-on-failure \
    "$package" docs/python.md python/README.md python/tests "$@"

say "the plugin for napari"
if ! "$venv" -m pip install --quiet 'napari[pyqt6]>=0.5' npe2 pytest-qt ./integrations/napari >&2; then
    skip "napari cannot be installed: the plugin was not tested, the package was"
elif ! QT_QPA_PLATFORM=offscreen "$venv" -c 'import qtpy.QtWidgets' 2>&1; then
    skip "Qt cannot be loaded (Debian's packages are libegl1 and libxkbcommon0): the plugin was not tested, the package was"
fi
"$build/venv/bin/npe2" validate napari-unet-wgpu >&2
QT_QPA_PLATFORM=offscreen "$venv" -m pytest --quiet -p no:cacheprovider -W ignore --rootdir integrations/napari integrations/napari/tests
