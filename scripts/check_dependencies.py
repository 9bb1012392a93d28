"""Checks the dependencies of every package that is shipped against deny.toml: licences, versions that occur twice, sources. Checks
every lock file of the repository against the security advisories in advisories.toml.

    python3 scripts/check_dependencies.py
    python3 scripts/check_dependencies.py --database DIR   writes advisories.toml anew from a clone of
                                                           https://github.com/rustsec/advisory-db

The same lists as `cargo deny check` reads, for machines without cargo-deny or without a network.
"""

import argparse
import json
import pathlib
import re
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


def number(version):
    """A version as numbers; what follows `-` or `+` is left out, and so are absent places."""
    return tuple(int(n) for n in re.split(r"[-+]", version.strip())[0].split("."))


def meets(version, requirement):
    """Whether a version meets every comparison of a requirement such as `>= 0.8.1, < 0.9`."""

    def one(text):
        sign, bound = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|)\s*(\S+)\s*", text).groups()
        v, b = number(version), number(bound)
        v = v[: len(b)] if sign in ("=", "<=", ">") else v
        match sign:
            case ">=":
                return v >= b
            case "<=":
                return v <= b
            case ">":
                return v > b
            case "<":
                return v < b
            case "=":
                return v == b
        # Compatible: the first place that is not zero stays.
        first = next((i for i, n in enumerate(b) if n), len(b) - 1)
        return v >= b and v[: first + 1] == b[: first + 1]

    return all(one(part) for part in requirement.split(","))


def locked():
    """Versions by crate, of every lock file."""
    files = subprocess.run(["git", "ls-files", "*Cargo.lock"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    crates = {}
    for file in files:
        for p in tomllib.loads((ROOT / file).read_text())["package"]:
            if p.get("source"):
                crates.setdefault(p["name"], {}).setdefault(p["version"], file)
    return crates


def write_advisories(database):
    """Writes the advisories about crates of the lock files, from a clone of the database."""
    crates = locked()
    commit = subprocess.run(["git", "log", "-1", "--format=%H %cs"], cwd=database, capture_output=True, text=True, check=True).stdout.split()
    lines = [
        "# Security advisories about crates of the lock files: scripts/check_dependencies.py --database writes this and checks it.",
        "# Facts of https://github.com/rustsec/advisory-db (CC0).",
        f'commit = "{commit[0]}"',
        f'date = "{commit[1]}"',
        "# Crates that were looked up.",
        "crates = [",
        *[f'    "{name}",' for name in sorted(crates)],
        "]",
    ]
    tree = ["git", "ls-tree", "-r", "--name-only", "HEAD", "crates"]
    for file in sorted(subprocess.run(tree, cwd=database, capture_output=True, text=True, check=True).stdout.split()):
        if file.split("/")[1] not in crates:
            continue
        text = subprocess.run(["git", "show", f"HEAD:{file}"], cwd=database, capture_output=True, text=True, check=True).stdout
        found = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1))
        about = found["advisory"]
        if about.get("withdrawn"):
            continue
        lines += ["", "[[advisory]]", f'id = "{about["id"]}"', f'crate = "{about["package"]}"']
        lines += [f'kind = "{about.get("informational", "vulnerability")}"']
        lines += [f"{key} = {json.dumps(found['versions'].get(key, []))}" for key in ("patched", "unaffected")]
    (ROOT / "advisories.toml").write_text("\n".join(lines) + "\n")


def check_advisories(ignored):
    """Problems with versions that an advisory names, and a line on what was checked."""
    listed, crates = tomllib.loads((ROOT / "advisories.toml").read_text()), locked()
    problems = []
    for a in listed["advisory"]:
        fine = a["patched"] + a["unaffected"]
        for version, file in crates.get(a["crate"], {}).items():
            if a["id"] not in ignored and not any(meets(version, r) for r in fine):
                problems.append(f"{file}: {a['crate']} {version} has {a['id']} ({a['kind']}): https://rustsec.org/advisories/{a['id']}")
    line = f"{len(listed['advisory'])} advisories (as of {listed['date']}) about {len(crates)} crates of every lock file: none applies"
    later = sorted(crates.keys() - set(listed["crates"]))
    if later:
        line += f"; not looked up, since advisories.toml is older: {', '.join(later)}"
    return problems, line


def self_test():
    for version, requirement, expected in [
        ("0.8.8", ">= 0.7.4, < 0.8.0", False),
        ("0.8.8", ">= 0.8.1", True),
        ("0.22.9", "^0.22.2", True),
        ("0.23.0", "^0.22.2", False),
        ("1.4.0", "^1.2", True),
        ("2.0.0", "^1.2", False),
        ("0.15.0", "=0.15.0", True),
        ("1.2.9", "<= 1.2", True),
        ("0.38.0+1.3.281", "> 0.38", False),
    ]:
        assert meets(version, requirement) == expected, (version, requirement)
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", type=pathlib.Path)
    database = parser.parse_args().database
    self_test()
    if database:
        write_advisories(database)
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
    found, line = check_advisories(deny["advisories"].get("ignore", []))
    problems += found
    if problems:
        sys.exit("\n".join(problems))
    print(f"{count} packages of {', '.join(PACKAGES + APPLICATIONS)}: licences, versions and sources are as deny.toml says")
    print(line)


if __name__ == "__main__":
    main()
