#!/bin/sh
# Tests the application: labels, projects and journal without a device, the canvas and the whole window on a device without a screen.
# What the window finds and writes must be what the program finds and writes.
#
#     sh scripts/test_studio.sh
#
# STUDIO_PICTURES names a folder for pictures of the window. What is missing is told last: `skipped: ..`.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi
manifest=studio/Cargo.toml

cargo fmt --check --manifest-path $manifest
# eframe has its own minimum of Rust.
rust=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/p;d')
required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' $manifest)
if [ "$(printf '%s\n%s\n' "$required" "$rust" | sort -V | head -n 1)" != "$required" ]; then
    echo "skipped: the application, which takes Rust $required"
    exit 0
fi
if ! cargo fetch --locked --manifest-path $manifest; then
    echo "skipped: the application, which cannot be downloaded"
    exit 0
fi
# The side of the browser is compiled by test_web.sh.
cargo clippy --locked --all-targets --manifest-path $manifest -- -D warnings
# With an example: its dependencies have the features of those of `cargo test`, and nothing is built twice.
cargo build --bin unet --example embed
UNET_PROGRAM=$CARGO_TARGET_DIR/debug/unet
export UNET_PROGRAM
cargo test --locked --manifest-path $manifest --lib --bins --test labels --test journal --test canvas
# One window at a time: they share the processor with what they test.
cargo test --locked --manifest-path $manifest --test window -- --test-threads 1
echo "the application finds and writes what the program does"
