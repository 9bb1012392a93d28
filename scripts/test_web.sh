#!/bin/sh
# Tests library and application in a real browser, on WebGPU in software: a page of the library segments an image, trains a few steps
# and compiles every kernel of a device with default limits; the application segments, paints, trains, downloads, and dies. The results
# are compared with native ones.
#
#     sh scripts/test_web.sh
#
# STUDIO_PICTURES names a folder for pictures of the application. With WEB_BROWSER=firefox it is Firefox, on the system's Vulkan driver,
# without the tests of the page around the application.
# Installs what is missing: a compiler for wasm32, the browser. If that cannot be downloaded, the last line says `skipped: ..`
# and the status is 0.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=$root/target/web
site=$build/site
. scripts/wasm_compiler.sh

skip() {
    printf 'skipped: %s\n' "$*"
    exit 0
}

mkdir -p "$site"
find_wasm_compiler || skip "no compiler for $target: neither rustup nor Debian's packages can be fetched"

browser=${WEB_BROWSER:-chromium}
case $browser in
chromium)
    CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
    if [ -z "$CHROMIUM" ]; then
        install chromium || skip "no Chromium, and it cannot be installed"
        CHROMIUM=$(command -v chromium)
    fi
    export CHROMIUM
    program=$CHROMIUM
    ;;
firefox)
    FIREFOX=${FIREFOX:-$(command -v firefox || command -v firefox-esr || true)}
    if [ -z "$FIREFOX" ]; then
        install firefox-esr || skip "no Firefox, and it cannot be installed"
        FIREFOX=$(command -v firefox-esr)
    fi
    export FIREFOX
    program=$FIREFOX
    ;;
*)
    echo "WEB_BROWSER is $browser, neither chromium nor firefox" >&2
    exit 1
    ;;
esac
command -v python3 >/dev/null 2>&1 || install python3 || skip "no python3, and it cannot be installed"

manifest=tests/web/Cargo.toml
cargo fetch --manifest-path $manifest >&2 || skip "packages of the page cannot be fetched"

say "native results"
cargo run --quiet --example web_reference -- "$site"
say "the page"
wasm cargo build --quiet --manifest-path $manifest --package unet-web-test --target $target --target-dir "$build/wasm"
cargo run --quiet --manifest-path $manifest --package bindgen --target-dir "$build/host" -- \
    "$build/wasm/$target/debug/unet_web_test.wasm" "$site"
cp tests/web/index.html "$site"
say "wasm: $(wc -c < "$site/unet_web_test_bg.wasm") bytes"
say "browser: $("$program" --version 2>/dev/null)"
# eframe has its own minimum of Rust.
missing=
rust=$(wasm "${RUSTC:-rustc}" --version | sed 's/^rustc \([0-9.]*\).*/\1/p;d')
required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' studio/Cargo.toml)
if [ "$(printf '%s\n%s\n' "$required" "$rust" | sort -V | head -n 1)" != "$required" ]; then
    missing="it takes Rust $required"
elif ! cargo fetch --locked --manifest-path studio/Cargo.toml >&2; then
    missing="its packages cannot be fetched"
fi
application=$build/studio-dev
if [ -z "$missing" ]; then
    # With an example: its dependencies have the features of those of `cargo test`, and nothing is built twice.
    cargo build --quiet --bin unet --example embed
    UNET_PROGRAM=${CARGO_TARGET_DIR:-$root/target}/debug/unet
    export UNET_PROGRAM
    # Beside the tests of the library, which leave a core free for most of their time.
    sh scripts/web.sh --dev "$application" > "$application.log" 2>&1 &
    building=$!
fi
if [ "$browser" = chromium ]; then
    say "the page of the application, without it"
    python3 scripts/test_web_page.py
fi
say "the library"
python3 tests/web/browser.py "$site" "$browser"
[ -z "$missing" ] || skip "the application in the browser: $missing"
say "the application"
wait "$building" || {
    cat "$application.log" >&2
    exit 1
}
# The demo image takes software more than a minute: `--demo` adds it.
python3 scripts/test_studio_web.py "$application" "$UNET_PROGRAM" --browser "$browser" ${STUDIO_PICTURES:+--pictures "$STUDIO_PICTURES"}
