#!/usr/bin/env python3
"""Makes assets/fixtures/instance_loss/: the loss of instances and trainings with it, by PyTorch in float64.

    python3 scripts/make_instance_loss_fixtures.py REFERENCE [--out assets/fixtures/instance_loss]

REFERENCE is the folder of our reference implementation: make_golden.py, whose format and random data these fixtures share, and
instances_reference.py, which defines targets and loss. The output depends on it alone.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

MULTI, DISTANCE = {"target": "multi"}, {"target": "distance"}
# Of these, `ignore` makes a part of the pixels unknown, or all of them.
LOSSES = [
    {"name": "instances", "shape": [2, 5, 18, 20], "args": MULTI},
    {"name": "instances", "shape": [2, 2, 18, 20], "args": DISTANCE},
    {"name": "instances", "shape": [2, 5, 18, 20], "args": MULTI, "ignore": "part"},
    {"name": "instances", "shape": [1, 5, 9, 11], "args": MULTI, "ignore": "all"},
    {"name": "instances", "shape": [1, 5, 9, 11], "args": MULTI, "empty": [0]},
    {"name": "instances", "shape": [2, 5, 18, 20], "args": MULTI, "scale": 40.0},
    {"name": "instances", "shape": [2, 7, 18, 20], "args": {**MULTI, "classes": 2}, "ignore": "part"},
    {"name": "instances", "shape": [1, 5, 18, 20], "args": {**DISTANCE, "classes": 3}},
]
ADAM = {"adam": {"kind": "adam", "lr": 1e-3}}
TRAININGS = [
    ("unet", {"out_channels": 5, "width": 4, "depth": 2, "padding": "same"}, MULTI, 20),
    ("unetpp", {"out_channels": 5, "width": 4, "depth": 2}, MULTI, 20),
    ("unet3p", {"out_channels": 5, "width": 4, "depth": 2, "cat": 4, "deep_supervision": True}, MULTI, 20),
    ("unet", {"out_channels": 4, "width": 4, "depth": 1, "padding": "valid"}, {**DISTANCE, "classes": 2}, 32),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=pathlib.Path)
    default = pathlib.Path(__file__).resolve().parent.parent / "assets" / "fixtures" / "instance_loss"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    args = parser.parse_args()
    sys.path.insert(0, str(args.reference))
    import instances_reference as reference
    import make_golden as golden
    import torch
    import torch.nn.functional as F

    def target(instances: np.ndarray, target: str, classes: int) -> torch.Tensor:
        """The target of a batch of label images, -1 where unknown; an instance's class follows from its number."""
        planes = []
        for lab in instances:
            t = reference.targets(target, np.pad(lab, reference.MARGIN, constant_values=-1))
            if classes > 1:
                t = np.concatenate([t, np.where(lab > 0, 1 + lab % classes, 0)[None]])
            planes.append(t.astype(np.float32))
        return torch.from_numpy(np.stack(planes))

    def loss(z: torch.Tensor, t: torch.Tensor, target: str, classes: int = 1) -> torch.Tensor:
        planes = reference.PLANES[target]
        value = reference.loss(target, z[:, :planes], t)
        if classes > 1:
            each = F.cross_entropy(z[:, planes:], (t[:, -1].long() - 1).clamp_min(0), reduction="none")
            weight = t[:, 0] * t[:, 1]
            value = value + (weight * each).sum() / weight.sum().clamp_min(1)
        return value

    def run_losses(case: dict, dtype: torch.dtype):
        r = golden.rng(case["seed"])
        res = {}
        for i, spec in enumerate(case["losses"]):
            n, k, h, w = spec["shape"]
            a = {"classes": 1, **spec["args"]}
            labels = np.stack([golden.cells(r, h, w, 9) for _ in range(n)])
            for e in spec.get("empty", []):
                labels[e] = 0
            if spec.get("ignore") == "part":
                labels[:, 2:9, 5:12] = -1
            elif spec.get("ignore") == "all":
                labels[:] = -1
            t = target(labels, **a)
            z = torch.from_numpy((r.randn(n, k, h, w) * spec.get("scale", 1.5)).astype(np.float32))
            zl = z.to(dtype).clone().requires_grad_(True)
            y = loss(zl, t.to(dtype), **a)
            y.backward()
            key = f"{i:02d}.{spec['name']}"
            res |= {f"{key}/logits": z, f"{key}/value": y.detach().reshape(1), f"{key}/grad_logits": zl.grad, f"{key}/target": t}
        return res, {}

    def targets(case: dict, batch: dict, out_hw):
        inst = batch["instances"]
        top, left = ((inst.shape[i + 1] - out_hw[i]) // 2 for i in (0, 1))
        a = {"classes": 1, **case["loss"]["args"]}
        return {"target": target(inst[:, top:top + out_hw[0], left:left + out_hw[1]], **a)}

    def case_loss(case: dict, m, x, t):
        y = m(x)
        heads = {"unet": lambda: [y], "unetpp": lambda: y, "unet3p": lambda: y["logits"]}[case["arch"]]()
        return torch.stack([loss(z, t["target"].to(x.dtype), **case["loss"]["args"]) for z in heads]).mean()

    golden.targets, golden.case_loss = targets, case_loss
    golden.RUNNERS["losses"] = run_losses
    cases = [{"kind": "losses", "name": "instance_losses", "seed": 41, "losses": LOSSES}]
    for i, (arch, config, a, side) in enumerate(TRAININGS):
        cases.append({
            "kind": "model", "name": f"{arch}_train_{a['target']}", "mode": "train", "arch": arch, "config": config,
            "input": [2, 1, side, side], "cells": 9, "seed": 42 + i, "optim": ADAM, "steps": 6,
            "loss": {"name": "instances", "args": a},
        })
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.safetensors"):
        old.unlink()
    entries = [golden.make(case, str(args.out)) for case in cases]
    total = sum(f["bytes"] for e in entries for f in e["files"].values())
    manifest = {"format": "unet-golden-1", "set": "instance_loss", "torch": torch.__version__, "total_bytes": total, "cases": entries}
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{args.out}: {len(entries)} cases, {total} bytes")


if __name__ == "__main__":
    main()
