#!/bin/sh
# Installs a Rust compiler for wasm32-unknown-unknown from the packages of Debian sid in a separate folder, for machines where
# rustup cannot fetch the target: 170 MB to download, 765 MB on disk. The system and its toolchain are unchanged; the
# installed cargo drives this compiler.
#
#     sh scripts/wasm_toolchain.sh FOLDER
#     . FOLDER/env                            sets RUSTC and the linker
set -eu
dir=$1
mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ]; then
    mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
        sed -n 's/^deb \(\[[^]]*] \)\?\([^ ]*debian\) .*/\2/p; s/^URIs: *\([^ ]*debian\)$/\1/p' | head -n 1)
fi
[ -n "$mirror" ] || mirror=http://deb.debian.org/debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial"
: > "$work/status"
echo "deb $mirror sid main" > "$work/list"
options="-o Dir::Etc::sourcelist=$work/list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists=$work/lists
    -o Dir::State::status=$work/status -o Dir::Cache::archives=$work/archives -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
# shellcheck disable=SC2086 # a list of words
apt-get -qq $options -o APT::Sandbox::User=root -o Acquire::Languages=none update
# shellcheck disable=SC2086
packages() { apt-cache $options depends "$1" | sed -n "s/.*Depends: \($2\).*/\1/p" | head -n 1; }
std=$(packages libstd-rust-dev 'libstd-rust-[0-9.]*')
llvm=$(packages "$std" 'libllvm[0-9]*')
version=${llvm#libllvm}
[ -n "$std" ] && [ -n "$version" ]
(
    cd "$work/archives"
    # shellcheck disable=SC2086
    apt-get -qq $options -o APT::Sandbox::User=root download rustc libstd-rust-dev libstd-rust-dev-wasm32 "$std" "$llvm" \
        "lld-$version" libc6 libgcc-s1 libstdc++6 zlib1g libzstd1 libxml2-16 libedit2 libtinfo6 libbsd0 libmd0 libffi8
)
rm -rf "$dir"
mkdir -p "$dir/root" "$dir/bin"
for package in "$work"/archives/*.deb; do dpkg -x "$package" "$dir/root"; done
dir=$(cd "$dir" && pwd)
# Use the packages' own C library and loader: those of this system may be older.
wrap() {
    cat > "$dir/bin/$1" <<W
#!/bin/sh
d=\$(cd "\$(dirname "\$0")/.." && pwd)/root/usr
l=\$d/lib/x86_64-linux-gnu
exec "\$l/ld-linux-x86-64.so.2" --library-path "\$l:\$d/lib:\$d/lib/llvm-$version/lib" --argv0 $1 "\$d/$2" $3 "\$@"
W
    chmod +x "$dir/bin/$1"
}
# shellcheck disable=SC2016 # expanded when it runs
wrap rustc bin/rustc '--sysroot "$d"'
wrap wasm-ld "lib/llvm-$version/bin/wasm-ld" ''
cat > "$dir/env" <<W
export RUSTC="$dir/bin/rustc" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$dir/bin/wasm-ld"
W
"$dir/bin/rustc" -V
