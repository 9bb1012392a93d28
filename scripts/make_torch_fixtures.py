"""Small PyTorch files for the tests of src/weights/torch.rs: assets/fixtures/torch/*.pth.

Run with an interpreter that has torch: python scripts/make_torch_fixtures.py
"""

import collections
import os

import torch
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "assets", "fixtures", "torch")


def values(*shape, dtype=torch.float32):
    """-1, -0.75, -0.5, ...: exact in every float type."""
    n = 1
    for d in shape:
        n *= d
    return ((torch.arange(n) % 17 - 4) / 4).reshape(shape).to(dtype)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.register_buffer("scratch", torch.zeros(3), persistent=False)


def main():
    os.makedirs(HERE, exist_ok=True)
    types = {
        "f32": values(2, 3, 1, 2),
        "f16": values(2, 3, dtype=torch.float16),
        "bf16": values(2, 3, dtype=torch.bfloat16),
        "f64": values(5, dtype=torch.float64),
        "i64": torch.tensor(7),
        "transposed": values(3, 2).t(),
        "empty": torch.zeros(0, 4),
    }
    net = Block()
    with torch.no_grad():
        net.conv.weight.copy_(values(2, 1, 3, 3))
    optimiser = torch.optim.Adam(net.parameters())
    net.conv.weight.grad = torch.ones_like(net.conv.weight)
    optimiser.step()
    with torch.no_grad():
        net.conv.weight.copy_(values(2, 1, 3, 3))
    training = {
        "epoch": 7,
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimiser.state_dict(),
        "best": 0.25,
        "config": {"lr": 1e-3, "name": "block"},
    }
    save = lambda name, what, **kw: torch.save(what, os.path.join(HERE, name), **kw)
    save("types.pth", collections.OrderedDict(types))
    save("legacy.pt", types, _use_new_zipfile_serialization=False)
    save("training.ckpt", training)
    save("module.pth", {"model": net})
    save("beside.pth", {**net.state_dict(), "mask_values": [0, 255]})
    save("config.pt", {"lr": 0.1, "layers": [1, 2]})


if __name__ == "__main__":
    main()
