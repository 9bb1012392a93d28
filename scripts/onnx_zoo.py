"""Compares this engine with onnxruntime on networks of public libraries, exported to ONNX with random weights.

Called by onnx_zoo.sh. For each network: PyTorch's exporter writes the file, onnxruntime runs it, `unet run` runs it, and the
largest difference from onnxruntime must be at most 1e-4 of the output's largest value. The errors of both relative to PyTorch
in double precision are shown. Known failure: smp_unet_resnet18_scse (static) differs by 1.02e-4; ours is 7.3e-5 and onnxruntime
2.9e-5 from double precision (Winograd rounds more; plain kernels are at 1.4e-5).
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime
import torch
from torch import nn


def plain_conv_net(c, k, widths, norm=nn.InstanceNorm2d):
    """nnU-Net's PlainConvUNet: strided convolutions down, transposed ones up, InstanceNorm and LeakyReLU."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    stages = len(widths)
    return PlainConvUNet(
        c, stages, widths, nn.Conv2d, 3, [1] + [2] * (stages - 1), 2, k, 2, conv_bias=True, norm_op=norm,
        norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )


def smp(name, encoder, **kw):
    import segmentation_models_pytorch

    return getattr(segmentation_models_pytorch, name)(encoder, encoder_weights=None, in_channels=3, classes=2, **kw)


def monai(name, **kw):
    from monai.networks import nets

    return getattr(nets, name)(spatial_dims=2, in_channels=1, out_channels=2, **kw)


NETWORKS = {
    "smp_unet_resnet18": (lambda: smp("Unet", "resnet18"), (1, 3, 64, 96)),
    "smp_unet_mobilenet_v2": (lambda: smp("Unet", "mobilenet_v2"), (1, 3, 64, 96)),
    "smp_unetpp_resnet18": (lambda: smp("UnetPlusPlus", "resnet18"), (1, 3, 64, 96)),
    "smp_unetpp_mobilenet_v2": (lambda: smp("UnetPlusPlus", "mobilenet_v2"), (1, 3, 64, 96)),
    "smp_unet_resnet18_scse": (lambda: smp("Unet", "resnet18", decoder_attention_type="scse"), (1, 3, 64, 96)),
    "monai_unet": (lambda: monai("UNet", channels=(8, 16, 32), strides=(2, 2), num_res_units=2), (1, 1, 64, 48)),
    "monai_unet_batch_norm": (
        lambda: monai("UNet", channels=(8, 16, 32), strides=(2, 2), norm="batch", act="relu"), (1, 1, 64, 48)),
    "monai_basic_unet": (lambda: monai("BasicUNet", features=(8, 8, 16, 16, 32, 8)), (1, 1, 64, 48)),
    "monai_basic_unetpp": (lambda: monai("BasicUNetPlusPlus", features=(8, 8, 16, 16, 32, 8)), (1, 1, 64, 48)),
    "monai_attention_unet": (lambda: monai("AttentionUnet", channels=(8, 16, 32), strides=(2, 2)), (1, 1, 64, 48)),
    "nnunet_plain": (lambda: plain_conv_net(1, 2, [8, 16, 32]), (1, 1, 64, 48)),
    "nnunet_plain_deep": (lambda: plain_conv_net(3, 4, [8, 16, 32, 48, 48]), (2, 3, 64, 96)),
}


def randomise(net, seed):
    """Sets statistics and gains as a trained network could have; other weights keep PyTorch's initial values."""
    g = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d)) and m.weight is not None:
            m.weight.data.uniform_(0.5, 1.5, generator=g)
            m.bias.data.normal_(0.0, 0.2, generator=g)
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0.0, 0.2, generator=g)
            m.running_var.uniform_(0.5, 1.5, generator=g)


class First(nn.Module):
    """The outputs as a tuple."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(x)
        return tuple(y) if isinstance(y, (list, tuple)) else y


def check(name, unet, folder, dynamic, device):
    make, shape = NETWORKS[name]
    torch.manual_seed(7)
    net = make()
    randomise(net, 7)
    path = folder / f"{name}{'_dynamic' if dynamic else ''}.onnx"
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    axes = {"image": {0: "n", 2: "h", 3: "w"}} if dynamic else None
    torch.onnx.export(First(net).eval(), (x,), str(path), opset_version=17, input_names=["image"], dynamo=False, dynamic_axes=axes)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    expected = dict(zip(names, session.run(names, {"image": x.numpy()})))
    from safetensors.numpy import load_file

    np.save(folder / "x.npy", x.numpy())
    out = folder / "got.safetensors"
    command = [unet, "run", "-m", path, "--input", folder / "x.npy", "--output", out, "--device", device]
    ran = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if ran.returncode:
        print(f"{path.stem:<34} FAILED  {ran.stderr.strip()}")
        return False
    got = load_file(out)
    with torch.no_grad():
        exact = First(net).eval().double()(x.double())
    exact = [y.numpy() for y in (exact if isinstance(exact, tuple) else (exact,))]
    worst = theirs = ours = 0.0
    for (key, y), z in zip(expected.items(), exact):
        scale = max(1e-3, np.abs(z).max())
        g = got[key].reshape(y.shape)
        off = [float(np.abs(a - b).max() / scale) for a, b in ((g, y), (y, z), (g, z))]
        worst, theirs, ours = max(worst, off[0]), max(theirs, off[1]), max(ours, off[2])
    fine = worst <= 1e-4
    verdict = "ok" if fine else "FAILED"
    print(f"{path.stem:<34} {verdict:<7} {worst:.1e} of scale from onnxruntime; from float64: {ours:.1e}, onnxruntime {theirs:.1e}",
          flush=True)
    return fine


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--unet", default="target/debug/unet", help="the program")
    p.add_argument("--folder", default="target/onnx_zoo", type=pathlib.Path)
    p.add_argument("--device", default="cpu", help="as of `unet --device`")
    p.add_argument("names", nargs="*", help="networks; all if none is named")
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    fine = [check(n, a.unet, a.folder, d, a.device) for n in a.names or NETWORKS for d in (False, True)]
    print(f"{sum(fine)} of {len(fine)} match onnxruntime")
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
