#!/usr/bin/env python3
"""Makes assets/fixtures/: the small cases of a full fixture folder, for `cargo test`.

    python3 scripts/make_fixtures.py FOLDER [--out assets/fixtures]

FOLDER is the output of our reference generator (`make_golden.py`, PyTorch in float64): *.safetensors and a manifest.json of
format unet-golden-1. Copied byte for byte: the single operations, losses, weight maps, metrics, every network in evaluation
mode whose file is at most 250 kB, checkpoints of other programs of at most 330 kB, and ONNX files of at most 131 kB with their
tensors. The new manifest lists only these. The output depends on the input alone.
"""

import argparse
import hashlib
import json
import pathlib
import sys

LARGEST = 250_000
LARGEST_CHECKPOINT = 330_000
LARGEST_ONNX = 131_000
TOTAL = 3_800_000


def selected(entry: dict) -> bool:
    if entry["kind"] in ("ops", "losses", "weightmap", "metrics"):
        return True
    size = sum(f["bytes"] for f in entry["files"].values())
    if entry["kind"] == "checkpoint":
        return size <= LARGEST_CHECKPOINT
    if entry["kind"] == "onnx":
        return size <= LARGEST_ONNX
    return entry["kind"] == "model" and entry["case"].get("mode", "eval") == "eval" and size <= LARGEST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    default = pathlib.Path(__file__).resolve().parent.parent / "assets" / "fixtures"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    args = parser.parse_args()

    manifest = json.loads((args.folder / "manifest.json").read_text())
    if manifest["format"] != "unet-golden-1":
        sys.exit(f"error: {args.folder}/manifest.json has format {manifest['format']}, not unet-golden-1")
    cases = [entry for entry in manifest["cases"] if selected(entry)]
    files = {}
    for entry in cases:
        for name, expected in entry["files"].items():
            content = (args.folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != expected["sha256"]:
                sys.exit(f"error: {args.folder / name} is not the file that the manifest describes")
            files[name] = content
    total = sum(map(len, files.values()))
    if total > TOTAL:
        sys.exit(f"error: {total} bytes are more than the {TOTAL} that may enter the repository")

    args.out.mkdir(parents=True, exist_ok=True)
    for old in [*args.out.glob("*.safetensors"), *args.out.glob("*.pth"), *args.out.glob("*.onnx")]:
        old.unlink()
    for name, content in files.items():
        (args.out / name).write_bytes(content)
    manifest.update(set="small", total_bytes=total, cases=cases)
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{args.out}: {len(cases)} cases, {total} bytes")


if __name__ == "__main__":
    main()
