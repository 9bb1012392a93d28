"""Checks the dependencies of every package that is shipped against deny.toml: licences, versions that occur twice, sources.

    python3 scripts/check_dependencies.py

The same lists as `cargo deny check bans licenses sources` reads, for machines without cargo-deny. Advisories need its database:
they are checked where it is installed and can fetch it.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = [".", "capi", "python"]
# Of the application, versions are those that egui and its systems ask for.
APPLICATIONS = ["studio"]
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def permitted(expression, allowed):
    """Whether an SPDX expression can be met by licences that are allowed. `/` is the old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        met = terms()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = terms() or met
        return met

    def terms():
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence():
        token = tokens.pop(0)
        if token == "(":
            met = alternatives()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    return alternatives() and not tokens


def self_test():
    for expression, expected in [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0 OR MIT", True),
        ("MIT AND GPL-3.0", False),
        ("(GPL-3.0 OR MIT) AND Zlib", True),
        ("GPL-3.0 AND MIT OR Zlib", True),
        ("Apache-2.0 WITH LLVM-exception", False),
    ]:
        assert permitted(expression, {"MIT", "Apache-2.0", "Zlib"}) == expected, expression


def main():
    self_test()
    deny = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(deny["licenses"]["allow"])
    exceptions = {e["crate"]: set(e["allow"]) for e in deny["licenses"]["exceptions"]}
    skipped = {tuple(s["crate"].split("@")) for s in deny["bans"]["skip"]}
    problems, used, count = [], set(), 0
    for package in PACKAGES + APPLICATIONS:
        line = ["cargo", "metadata", "--format-version", "1", "--locked"]
        done = subprocess.run(line, cwd=ROOT / package, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{package}: {done.stderr}")
        versions = {}
        for p in json.loads(done.stdout)["packages"]:
            name, version, licence = p["name"], p["version"].split("+")[0], p["license"]
            count += 1
            if p["source"] not in (None, CRATES_IO):
                problems.append(f"{package}: {name} comes from {p['source']}")
            if licence is None or not permitted(licence, allowed | exceptions.get(name, set())):
                problems.append(f"{package}: {name} {version} has the licence {licence}")
            if package in PACKAGES:
                versions.setdefault(name, set()).add(version)
        for name, several in versions.items():
            extra = sorted(v for v in several if (name, v) not in skipped)
            if len(several) > 1:
                used |= {(name, v) for v in several}
                if len(extra) > 1:
                    problems.append(f"{package}: {name} occurs in versions {', '.join(extra)}")
    problems += [f"deny.toml skips {name} {version}, which no longer occurs twice" for name, version in sorted(skipped - used)]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{count} packages of {', '.join(PACKAGES + APPLICATIONS)}: licences, versions and sources are as deny.toml says")
    if shutil.which("cargo-deny"):
        subprocess.run(["cargo", "deny", "check", "advisories"], cwd=ROOT, check=True)
    else:
        print("advisories are not checked: cargo-deny is not installed")


if __name__ == "__main__":
    main()
