"""Compares checkpoints of other programs with those programs' own modules; see check_dialects.sh."""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np
import torch
from safetensors.numpy import load_file

UNET = os.environ["UNET"]
# Relative to the largest value: two programs that sum in float32 in different orders.
TOLERANCE = 1e-4


def unet(*args):
    return subprocess.run([UNET, *map(str, args)], capture_output=True, text=True)


def module(folder, name, beside=()):
    """Imports a module of a fetched repository, without conflicts with names of the others."""
    sys.path.insert(0, str(folder))
    try:
        for other in (*beside, name.split(".")[0]):
            for known in [k for k in sys.modules if k == other or k.startswith(f"{other}.")]:
                del sys.modules[known]
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def randomised(net, seed):
    """Everything random: weights, biases and the running statistics of normalisations."""
    torch.manual_seed(seed)
    for key, value in net.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.3)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() >= 2:
            fan = value[0].numel()
            value.normal_(0, (2.0 / fan) ** 0.5)
        elif key.endswith("weight"):
            value.uniform_(0.7, 1.3)
        elif value.is_floating_point():
            value.normal_(0, 0.1)
    return net.eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def plain(y):
    return {"logits": y}


def from_sigmoid(y):
    """For modules that return the sigmoid of `logits`."""
    return {"sigmoid(logits)": y}


def wrapped(net):
    """The forms in which people save a network."""
    state = net.state_dict()
    parallel = {f"module.{k}": v for k, v in state.items()}
    yield "state_dict", state
    yield "{'state_dict': module.*}", {"epoch": 3, "state_dict": parallel, "best_iou": 0.5}


def outputs(net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x))


def varied(net, x, named, seed):
    """The network with random weights for which no output is flat, as behind a closed gate."""
    for attempt in range(seed, seed + 2000, 100):
        net = randomised(net, attempt)
        if all(v.std() > 1e-2 * v.abs().max() for v in named(outputs(net, x)).values()):
            return net
    sys.exit("all outputs are flat")


def compare(net, x, named, checkpoint, folder):
    """The largest difference of any output, relative to its largest value."""
    given, found = folder / "x.npy", folder / "y.safetensors"
    if isinstance(checkpoint, pathlib.Path):
        file = checkpoint
    else:
        file = folder / "net.pth"
        torch.save(checkpoint, file)
    np.save(given, x)
    ran = unet("-q", "run", "-m", file, "--input", given, "--output", found)
    if ran.returncode:
        return ran.stderr.strip()
    y, got, worst = outputs(net, x), load_file(found), 0.0
    for name, expected in named(y).items():
        if name.startswith("sigmoid("):
            have = sigmoid(got[name[8:-1]])
        else:
            have = got[name].astype(np.float64)
        expected = np.asarray(expected, np.float64)
        if have.shape != expected.shape:
            return f"{name}: shapes {have.shape} and {expected.shape}"
        worst = max(worst, np.abs(have - expected).max() / np.abs(expected).max())
    return worst


def networks(root):
    """Name, module, input channels, our names of its outputs, sizes."""
    brain = module(root / "brain-segmentation-pytorch", "unet").UNet
    yield "brain-segmentation 3 to 1", brain(3, 1, 8), 3, from_sigmoid, [(1, 32, 48), (2, 64, 16)]
    yield "brain-segmentation 1 to 4", brain(1, 4, 6), 1, from_sigmoid, [(1, 32, 32)]
    milesial = module(root / "Pytorch-UNet", "unet").UNet
    yield "milesial transposed", milesial(3, 2), 3, plain, [(1, 48, 32), (1, 37, 50)]
    yield "milesial bilinear", milesial(1, 3, True), 1, plain, [(1, 48, 32), (2, 37, 50)]
    nested = module(root / "pytorch-nested-unet", "archs")
    yield "nested-unet UNet", nested.UNet(1, 3), 3, plain, [(1, 32, 48)]
    yield "nested-unet NestedUNet", nested.NestedUNet(2, 3), 3, lambda y: {"logits.4": y}, [(1, 32, 48)]
    heads = lambda y: {f"logits.{i + 1}": v for i, v in enumerate(y)}
    yield "nested-unet NestedUNet, deep supervision", nested.NestedUNet(1, 1, True), 1, heads, [(1, 32, 48)]
    sys.path.insert(0, str(root / "UNet-Version" / "models"))
    # Not needed here, and not installed everywhere.
    sys.modules.setdefault("torchvision", types.SimpleNamespace(models=None))
    three = module(root / "UNet-Version" / "models", "UNet_3Plus", ("layers", "init_weights"))
    three.np = np  # Its file uses the name and does not import it.
    yield "UNet_3Plus", three.UNet_3Plus(3, 1), 3, lambda y: {"probs.0": y}, [(1, 32, 48)]
    probs = lambda y: {f"probs.{i}": v for i, v in enumerate(y)}
    yield "UNet_3Plus_DeepSup", three.UNet_3Plus_DeepSup(1, 3), 1, probs, [(1, 32, 48)]
    yield "UNet_3Plus_DeepSup_CGM", three.UNet_3Plus_DeepSup_CGM(3, 1), 3, probs, [(2, 32, 48)]


def keras_network(root, folder):
    """The U-Net++ of Keras, on the present version with the PyTorch backend: the module uses names of a version of 2018."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import backend, layers
    from safetensors.numpy import save_file

    backend.image_dim_ordering = lambda: "tf"
    keras.optimizers.Adam  # The module imports optimisers that it does not use.
    layers.merge = None
    for name in ["pooling", "core", "advanced_activations", "noise"]:
        sys.modules[f"keras.layers.{name}"] = layers
    sys.modules["tensorflow"] = types.SimpleNamespace()
    text = (root / "UNetPlusPlus" / "keras" / "helper_functions.py").read_text()
    space = {"__name__": "helper_functions"}
    exec(compile(text, "helper_functions.py", "exec"), space)
    del sys.modules["tensorflow"]
    space["Model"] = lambda input, output: keras.Model(inputs=input, outputs=output)
    net = space["UNetPlusPlus"](32, 48, 3, 2, deep_supervision=True)
    stored, rng = {}, np.random.default_rng(1)
    for layer in net.layers:
        if shapes := [w.shape for w in layer.get_weights()]:
            kernel, bias = (rng.standard_normal(s, dtype=np.float32) for s in shapes)
            layer.set_weights([kernel * (2 / kernel[..., 0].size) ** 0.5, 0.1 * bias])
            for role, value in zip(["kernel", "bias"], layer.get_weights()):
                stored[f"{layer.name}/{layer.name}/{role}:0"] = np.ascontiguousarray(value)
    file = folder / "keras.safetensors"
    save_file(stored, file)
    last = lambda v: v.detach().numpy().transpose(0, 3, 1, 2)
    call = lambda x: [last(y) for y in net(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))]
    named = lambda ys: {f"sigmoid(logits.{i + 1})": y for i, y in enumerate(ys)}
    return call, named, file


def rejections(root, folder):
    """Known networks that cannot be built from a checkpoint must be rejected with a hint at the ONNX exporter."""
    models = root / "UNet-Version" / "models"
    with contextlib.redirect_stdout(None):  # It prints its parameters.
        two = module(models, "UNet_2Plus", ("layers", "init_weights")).UNet_2Plus(3, 1)
    one = module(models, "UNet", ("layers", "init_weights")).UNet(3, 1)
    for name, net in [("UNet_2Plus", two), ("UNet", one)]:
        torch.save(net.state_dict(), folder / "net.pth")
        result = unet("inspect", folder / "net.pth")
        if result.returncode == 0 or f"({name})" not in result.stderr or "torch.onnx.export" not in result.stderr:
            yield f"UNet-Version {name}: {result.returncode} {result.stderr.strip()}"


def main():
    root = pathlib.Path(sys.argv[1])
    wrong, rng = [], np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for seed, (name, net, channels, named, sizes) in enumerate(networks(root)):
            if len(sys.argv) > 2 and sys.argv[2] not in name:
                continue
            for n, h, w in sizes:
                x = rng.standard_normal((n, channels, h, w), dtype=np.float32)
                net = varied(net, x, named, seed)
                for form, checkpoint in list(wrapped(net))[: 2 if (n, h, w) == sizes[0] else 1]:
                    worst = compare(net, x, named, checkpoint, folder)
                    fine = not isinstance(worst, str) and worst <= TOLERANCE
                    shown = worst if isinstance(worst, str) else f"{worst:.1e}"
                    print(f"{name:<42} {n}x{h}x{w:<4} {form:<26} {shown}{'' if fine else '  WRONG'}", flush=True)
                    if not fine:
                        wrong.append(name)
        if (root / "UNetPlusPlus").is_dir() and importlib.util.find_spec("keras"):
            call, named, file = keras_network(root, folder)
            worst = compare(call, rng.standard_normal((1, 3, 32, 48), dtype=np.float32), named, file, folder)
            fine = not isinstance(worst, str) and worst <= TOLERANCE
            print(f"{'UNetPlusPlus (Keras)':<42} 1x32x48   {'safetensors, HWIO':<26} {worst}{'' if fine else '  WRONG'}")
            if not fine:
                wrong.append("UNetPlusPlus (Keras)")
        wrong.extend(rejections(root, folder))
    if wrong:
        sys.exit("\n".join(["these differ:", *wrong]))
    print("every checkpoint agrees with its own module")


if __name__ == "__main__":
    main()
