#!/bin/sh
# Unpacks the Vulkan software renderer of another Debian release into a folder, with the libraries it needs; nothing on the
# system changes. Downloads about 75 MB.
#
#     sh scripts/fetch_mesa.sh SUITE DIR      SUITE: bookworm-backports, trixie, sid, ...
#
# DEBIAN_MIRROR names a mirror; the default is the system's own.
set -eu
suite=${1:?a Debian suite} dir=${2:?a folder}
mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null |
        sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\)\/\{0,1\} .*/\2/p; s/^URIs: *\([^ ]*debian\)\/\{0,1\}$/\1/p' | head -n 1)
fi
[ -n "$mirror" ] || { echo "no Debian mirror found; set DEBIAN_MIRROR" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/files"
: > "$work/status" # as if nothing were installed: every library comes, libc too
for s in "$suite" ${suite%-backports}; do echo "deb $mirror $s main"; done | sort -u > "$work/sources"
fetch() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists="$work/lists" \
        -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= \
        -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
fetch update
fetch install -y --no-install-recommends --download-only -t "$suite" mesa-vulkan-drivers libvulkan1
for package in "$work"/archives/*.deb; do dpkg -x "$package" "$work/files"; done
lib="$work/files/usr/lib/x86_64-linux-gnu"
# Libraries of releases before the merged /usr.
[ ! -d "$work/files/lib/x86_64-linux-gnu" ] || [ -L "$work/files/lib" ] || cp -an "$work/files/lib/x86_64-linux-gnu/." "$lib/"
test -e "$lib/libvulkan_lvp.so"
rm -rf "$dir" && mkdir -p "$dir"
cp -a "$lib/." "$dir/"
[ -e "$dir/ld-linux-x86-64.so.2" ] || cp -a "$work"/files/lib*/ld-linux-x86-64.so.2 "$dir/" 2> /dev/null || true
printf '{"ICD": {"api_version": "1.3", "library_path": "%s/libvulkan_lvp.so"}, "file_format_version": "1.0.0"}\n' \
    "$(cd "$dir" && pwd)" > "$dir/lvp.json"
