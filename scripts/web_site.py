#!/usr/bin/env python3
"""web_site.py SITE [--dev]: makes the files in SITE one version of the page.

SITE has index.html, sw.js, what these name, `app` (scripts, styles, the module) and `models`. The folder `app` gets a name of its
own for each version, so no cache mixes two; the service worker gets the list of files. With --dev nothing is kept for use
without a network, and the size does not matter."""
import base64, gzip, hashlib, json, os, sys

# Bytes of the module as servers compress it.
MAX_MODULE = 6_000_000


def files(site):
    for folder, _, names in sorted(os.walk(site)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, site).replace(os.sep, "/"), path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def replace(path, old, new):
    text = read(path).decode()
    if old not in text:
        sys.exit(f"error: {path} has no {old!r}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def main(site, dev):
    contents = hashlib.sha256()
    for name, path in files(site):
        contents.update(f"{name} {hashlib.sha256(read(path)).hexdigest()}\n".encode())
    version = contents.hexdigest()[:12]
    index, module = os.path.join(site, "index.html"), os.path.join(site, "app", "unet_studio_bg.wasm")
    size, packed = os.path.getsize(module), len(gzip.compress(read(module), 9))
    replace(index, '"app/', f'"app-{version}/')
    replace(index, "<html ", f'<html data-version="{version}" data-bytes="{size}" ')
    os.rename(os.path.join(site, "app"), os.path.join(site, f"app-{version}"))

    digests = {name: base64.b64encode(hashlib.sha256(read(path)).digest()).decode() for name, path in files(site)}
    models = {name: digest for name, digest in digests.items() if name.startswith("models/")}
    kept = {name: digest for name, digest in digests.items() if name not in models and name != "sw.js"}
    if not dev:
        listed = json.dumps({"version": version, "files": kept, "models": models})
        replace(os.path.join(site, "sw.js"), "{ version: '', files: {}, models: {} }", listed)

    print(f"web: module: {size:,} bytes, {packed:,} as gzip")
    for name in models:
        print(f"web: {name}: {os.path.getsize(os.path.join(site, name)):,} bytes")
    print(f"web: version {version}: {len(kept)} files" + (", not kept for use without a network" if dev else ""))
    if packed > MAX_MODULE and not dev:
        sys.exit(f"error: the module has {packed:,} bytes as gzip, more than {MAX_MODULE:,}: it takes too long to load")


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--dev"]
    if len(arguments) != 1:
        sys.exit("usage: web_site.py SITE [--dev]")
    main(arguments[0], "--dev" in sys.argv)
