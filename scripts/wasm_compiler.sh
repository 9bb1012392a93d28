# For scripts that build for wasm32, to be sourced at the root of the repository with `build` set to a folder for what is built:
#
#     . scripts/wasm_compiler.sh
#     find_wasm_compiler                      the installed one, or another in a folder of its own; status 1 if there is none
#     wasm cargo build --target $target ..    runs a command with it
#     install PACKAGE                         installs a package of Debian
target=wasm32-unknown-unknown

say() { printf 'web: %s\n' "$*" >&2; }

install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; } >&2
}

# Whether the compiler has a standard library for wasm32. Otherwise another compiler is cached in a separate folder.
has_target() { [ -d "$(${RUSTC:-rustc} --print target-libdir --target $target 2>/dev/null)" ]; }

find_wasm_compiler() {
    mkdir -p "$build"
    rm -f "$build/env"
    if has_target || { rustup target add $target >&2 && has_target; }; then
        say "compiler: the installed one"
        return 0
    fi
    toolchain=${WASM_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/unet-wgpu-web/wasm}
    [ -f "$toolchain/env" ] || sh scripts/wasm_toolchain.sh "$toolchain" >&2 || return 1
    cp "$toolchain/env" "$build/env"
    say "compiler: $toolchain"
}

# Another compiler for wasm32 only: native builds keep theirs.
wasm() (
    [ -f "$build/env" ] && . "$build/env"
    exec "$@"
)
