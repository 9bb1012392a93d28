"""Prints the table of scripts/gpu_compilers.sh: gpu_table.py RADV_STATS DIR PATTERN TARGETS, DIR from `unet shaders --out DIR`."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MAKERS = ["amd", "nvidia", "intel", "adreno", "apple"]
# Minimum share of multiply-adds in the vector instructions of the hottest loop, per cent.
MIN_SHARE = {"amd": 85, "nvidia": 85, "intel": 85, "adreno": 75, "apple": 75}
# Maximum bytes of workgroup memory read per multiply-add.
MAX_BYTES = 1.0
REGISTERS = {"amd": ["VGPRs"], "nvidia": ["Number of GPRs"], "intel": ["Max live registers"], "adreno": ["Registers used"], "apple": ["GPRs"]}
SPILLS = {
    "amd": ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"],
    "nvidia": ["Spills to memory"],
    "intel": ["Spills", "Fills"],
    "adreno": ["STP Count", "LDP Count"],
    "apple": ["Spills", "Fills"],
}
# The class of adapters that a maker's chips belong to.
CLASS = {"amd": "amd", "nvidia": "nvidia", "intel": "intel", "adreno": "other", "apple": "apple"}
# Constants that affect only the code before and after the loop.
EPILOGUE = {"ACTIVATION", "ACCUMULATE", "WHOLE", "POOL"}
# GEMM kernels; the others have no loop, and only the spills count.
PRODUCTS = ("winograd_gemm", "conv2d_gemm", "conv2d_window", "conv_weight_grad_gemm")


def maker(target):
    groups = {"gb": "nvidia", "ad": "nvidia", "ga": "nvidia", "tu": "nvidia", "gv": "nvidia", "gp": "nvidia", "gm": "nvidia"}
    if re.fullmatch(r"a\d{3}", target):
        return "adreno"
    if target == "m1":
        return "apple"
    if target in ("bmg", "lnl", "ptl", "dg2", "mtl", "adl", "tgl", "icl", "kbl"):
        return "intel"
    return groups.get(target[:2], "amd") if re.search(r"\d{3}$", target) and target[:3] != "gfx" else "amd"


def stat(row, names):
    pairs = [s for e in row["executables"] for s in e["stats"] if s[0] in names]
    # Intel compiles several widths; the last, which is the widest, counts.
    return {s[0]: float(s[1]) for s in pairs}


def measure(tool, file, targets):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [tool, str(file), "--checks", "off", "--no-zero-init", "--targets", targets, "--json", out.name]
        run = subprocess.run(command, capture_output=True, text=True)
        text = Path(out.name).read_text()
    if not text:
        sys.exit(f"{file.name}: {run.stderr or run.stdout}")
    return json.loads(text)


def cell(rows, name):
    """Max registers, max spills, min share, max workgroup bytes; and whether the last two are known."""
    registers = max(sum(stat(r, REGISTERS[name]).values()) for r in rows)
    spills = max(sum(stat(r, SPILLS[name]).values()) for r in rows)
    share, shared, scratch, judged = 100.0, 0.0, 0, False
    for r in rows:
        scratch = max(scratch, r["mix"]["scratch"])
        loop = r.get("hot_loop")
        if not loop:
            # K is so short that the loop is unrolled: code before and after it would count as much.
            continue
        if loop["fma"] + loop["fma.h"] + loop["fma.h2"] + loop["mma"] == 0:
            # The tool took another loop for the innermost one: no verdict for this chip.
            continue
        judged = True
        math = sum(loop[k] for k in ("fma", "fma.h", "fma.h2", "dot", "mma"))
        share = min(share, 100 * math / max(1, math + loop["alu"]))
        shared = max(shared, loop["shared_load_bytes"] / max(1, loop["fma"] + loop["fma.h"] + 2 * loop["fma.h2"]))
    return registers, spills + scratch, share, shared, judged


def main():
    tool, folder, pattern, targets = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    index = json.loads((folder / "index.json").read_text())["kernels"]
    if pattern:
        chosen = [k for k in index if re.search(pattern, k["file"])]
    else:
        main_ones = PRODUCTS + ("winograd_in", "winograd_out")
        gpu = [k for k in index if set(k["classes"]) - {"cpu"} and k["networks"]]
        # Of kernels that differ in the epilogue only, the one with the largest epilogue.
        best = {}
        for k in (k for k in gpu if k["shader"] in main_ones and "SUBGROUP" not in k["constants"]):
            same = (k["shader"], *((n, v) for n, v in sorted(k["constants"].items()) if n not in EPILOGUE))
            if same not in best or len(k["constants"]) > len(best[same]["constants"]):
                best[same] = {**k, "classes": sorted(set(k["classes"]) | set(best.get(same, k)["classes"]))}
            else:
                best[same]["classes"] = sorted(set(k["classes"]) | set(best[same]["classes"]))
        chosen = list(best.values())
    print("| kernel | " + " | ".join(MAKERS) + " |")
    print("|---|" + "---|" * len(MAKERS))
    missed = []
    for k in chosen:
        # For forced kernels, which no class chooses, all makers are shown.
        makers = [m for m in MAKERS if CLASS[m] in k["classes"]] or MAKERS
        rows = measure(tool, folder / k["file"], ",".join(makers) if targets == "all" else targets)
        failed = [r["target"] for r in rows if not r.get("ok")]
        missed += [f"{k['file']}: does not compile on {t}" for t in failed]
        cells = []
        for name in MAKERS:
            mine = [r for r in rows if r.get("ok") and name in makers and maker(r["target"]) == name]
            if not mine:
                cells.append("-")
                continue
            registers, spills, share, shared, judged = cell(mine, name)
            product = judged and k["shader"] in PRODUCTS
            wrong = spills > 0 or (product and (share < MIN_SHARE[name] or shared > MAX_BYTES + 1e-9))
            text = f"{registers:.0f}, {spills:.0f}, {share:.0f} %, {shared:.2f}" if product else f"{registers:.0f}, {spills:.0f}"
            cells.append(f"**{text}**" if wrong else text)
            if wrong:
                missed.append(f"{k['file']}: {name}: {text}")
        print(f"| {k['file'].removesuffix('.wgsl')} | " + " | ".join(cells) + " |", flush=True)
    for m in missed:
        print(f"missed  {m}", file=sys.stderr)
    print(f"{len(chosen)} kernels, {len(missed)} thresholds missed", file=sys.stderr)
    sys.exit(1 if missed else 0)


main()
