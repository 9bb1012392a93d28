#!/bin/sh
# Installs what is missing to build and run unet-wgpu on Debian and its relatives: a C linker, and a software Vulkan driver if
# this machine has no Vulkan driver at all.
#
#     sh scripts/setup.sh
set -eu

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Vulkan drivers are registered by a file in one of these folders, or by an environment variable.
has_vulkan() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    for dir in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d \
        "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/vulkan/icd.d"; do
        for file in "$dir"/*.json; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

has_vulkan_loader() {
    for ldconfig in ldconfig /sbin/ldconfig /usr/sbin/ldconfig; do
        command -v "$ldconfig" >/dev/null 2>&1 || continue
        "$ldconfig" -p | grep -q 'libvulkan\.so\.1' && return 0
        return 1
    done
    return 1
}

packages=
if command -v cc >/dev/null 2>&1; then
    say "C linker: $(command -v cc)"
else
    say "C linker: none, installing gcc"
    packages="$packages gcc libc6-dev"
fi

if [ "$(uname -s)" = Linux ]; then
    if has_vulkan; then
        say "Vulkan driver: found"
    else
        say "Vulkan driver: none, installing Mesa's (with software rendering, slow but complete)"
        packages="$packages mesa-vulkan-drivers"
    fi
    if has_vulkan_loader; then
        say "Vulkan loader: found"
    else
        say "Vulkan loader: none, installing it"
        packages="$packages libvulkan1"
    fi
fi

if [ -n "$packages" ]; then
    command -v apt-get >/dev/null 2>&1 ||
        fail "no apt-get here; install the equivalents of these Debian packages:$packages"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "not root and no sudo; run as root: apt-get install$packages"
        as_root=sudo
    fi
    $as_root apt-get update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
if ! command -v cargo >/dev/null 2>&1; then
    [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ] &&
        fail "cargo is installed but not in PATH; run: . \"${CARGO_HOME:-${HOME:-/root}/.cargo}/env\""
    fail "no cargo; install Rust $required or later from https://rustup.rs, then run this again"
fi
found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
oldest=$(printf '%s\n%s\n' "$required" "$found" | sort -V | head -n 1)
[ "$oldest" = "$required" ] || fail "cargo $found is older than Rust $required, the minimum; run: rustup update"
say "cargo: $found"
say "ready. Next: cargo run --release -- devices"
