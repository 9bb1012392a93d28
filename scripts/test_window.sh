#!/bin/sh
# Tests the programs with a window: both examples on a virtual screen. What the window shows must be what the segmenter finds.
#
#     sh scripts/test_window.sh
#
# What is missing is told last: `skipped: ..`.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

# The screen, and what winit loads when it opens a window.
present() {
    command -v Xvfb >/dev/null 2>&1 || return 1
    for library in libX11-xcb.so.1 libXcursor.so.1 libXi.so.6 libxkbcommon-x11.so.0; do
        { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q "$library" || return 1
    done
}
install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || return 1
        as_root="sudo -n"
    fi
    packages="xvfb libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0"
    $as_root apt-get update >&2 || return 1
    # shellcheck disable=SC2086 # lists of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >&2
}
if ! present; then
    install && present || { echo "skipped: windows, as Xvfb or the libraries of X11 cannot be installed"; exit 0; }
fi

cargo fmt --check --manifest-path examples/egui/Cargo.toml
cargo build --example live --example window_reference
examples=$CARGO_TARGET_DIR/debug/examples
work=$(mktemp -d)
screen=
trap 'if [ -n "$screen" ]; then kill "$screen" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
mkfifo "$work/display"
Xvfb -displayfd 3 -screen 0 1600x900x24 -dpi 96 -nolisten tcp 3>"$work/display" 2>"$work/xvfb.log" &
screen=$!
read -r display <"$work/display"
export DISPLAY=":$display"
unset WAYLAND_DISPLAY

# A window must be done within five minutes, on a busy machine too.
run() { timeout 300 "$@"; }

# The same pixels in the segmenter and in the window; and the comparison sees an overlay that is a pixel off.
compare() {
    "$examples/window_reference" "$@"
    screenshot=$1 size=$3 image=$4 overlay=$5
    off="$((${overlay%,*} - 1)),${overlay#*,}"
    if "$examples/window_reference" "$screenshot" "$2" "$size" "$image" "$off" >"$work/off.log" 2>&1; then
        echo "an overlay that is a pixel off passes" >&2
        exit 1
    fi
    grep -q "shows something else" "$work/off.log" || { cat "$work/off.log" >&2; exit 1; }
}

run "$examples/live" --size 256 --budget 20 --frames 40 --screenshot "$work/live.png"
compare "$work/live.png" nuclei 256 0,0 256,0

# egui has its own minimum of Rust.
rust=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/p;d')
required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' examples/egui/Cargo.toml)
if [ "$(printf '%s\n%s\n' "$required" "$rust" | sort -V | head -n 1)" != "$required" ]; then
    echo "skipped: egui, which takes Rust $required"
    exit 0
fi
if ! cargo fetch --locked --manifest-path examples/egui/Cargo.toml; then
    echo "skipped: egui, which cannot be downloaded"
    exit 0
fi
cargo build --locked --manifest-path examples/egui/Cargo.toml
run "$CARGO_TARGET_DIR/debug/unet-wgpu-egui" --size 256 --budget 20 --frames 40 --screenshot "$work/egui.png" >"$work/egui.log"
cat "$work/egui.log"
# shellcheck disable=SC2046 # two words
compare "$work/egui.png" nuclei 256 $(sed -n 's/^image and overlay at //p' "$work/egui.log")
echo "the windows show what the segmenter finds"
