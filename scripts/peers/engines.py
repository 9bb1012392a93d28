"""The engines to time: each can `prepare` a network, `run` it once, and return its outputs as arrays.

onnx_engines.py has those that read ONNX."""

import importlib
import json
import os
import re
import subprocess
import time

import numpy as np

from formats import write_ncnn


class Missing(Exception):
    """An engine that cannot take part, and why."""


def require(name):
    """The Python package `name`."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise Missing(str(e)) from e


def on_cpu(name, version, threads):
    return f"{name} {version}, CPU, {threads} thread{'s' if threads > 1 else ''}"


class Unet:
    """This engine as the program `unet`; a round is one process, in which only the runs are timed."""

    name = "unet"

    def __init__(self, program):
        self.program = program

    def prepare(self, network, folder):
        self.size = "x".join(str(s) for s in network.input[1:])
        self.model = os.path.join(folder, "model.safetensors")
        network.save(self.model)

    def call(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.program} {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def outputs(self, x, folder):
        paths = os.path.join(folder, "x.npy"), os.path.join(folder, "y.safetensors")
        np.save(paths[0], x[None])
        self.call("run", "-m", self.model, "--input", paths[0], "--output", paths[1], "--quiet")
        with open(paths[1], "rb") as file:
            data = file.read()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        tensor = lambda t: np.frombuffer(data[start:][slice(*t["data_offsets"])], "<f4").reshape(t["shape"][1:])
        return {name: tensor(t) for name, t in header.items()}

    def times(self, x, runs):
        options = ["--size", self.size, "--repeat", str(runs), "--no-peak", "--json", "--quiet"]
        text = self.call("bench", "-m", self.model, *options)
        report = json.loads(text)
        self.device = report["adapter"]
        return report["runs_ms"]


class InProcess:
    """An engine in this process."""

    def times(self, x, runs):
        times = []
        self.run(x)
        for _ in range(runs):
            start = time.perf_counter()
            self.run(x)
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def outputs(self, x, folder):
        return self.run(x)


class Ncnn(InProcess):
    """ncnn: on the CPU, or through Vulkan on the device that our engine uses."""

    def __init__(self, threads, vulkan, adapter=""):
        ncnn = require("ncnn")
        self.ncnn, self.threads, self.vulkan, self.name = ncnn, threads, vulkan, "ncnn-vulkan" if vulkan else "ncnn"
        self.device = on_cpu("ncnn", ncnn.__version__, threads)
        if vulkan:
            if not hasattr(ncnn, "get_gpu_count"):
                raise Missing("this ncnn is built without Vulkan")
            names = [ncnn.get_gpu_info(i).device_name() for i in range(ncnn.get_gpu_count())]
            # llvmpipe is the same device at any vector width; ncnn is faster at the default one than at the one `unet` requests.
            name_of = lambda text: re.sub(r", \d+ bits\)", ")", text)
            same = [i for i, n in enumerate(names) if name_of(n) in name_of(adapter)]
            if not same:
                raise Missing(f"ncnn does not see our device ({adapter}), only: {', '.join(names) or 'none'}")
            self.index = same[0]
            self.device = f"ncnn {ncnn.__version__}, Vulkan, {names[self.index]}, f32"

    def prepare(self, network, folder):
        base = os.path.join(folder, "model.ncnn")
        write_ncnn(network, base)
        net = self.ncnn.Net()
        net.opt.use_vulkan_compute = self.vulkan
        net.opt.num_threads = self.threads
        # f32, as the other engines.
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(net.opt, option, False)
        if self.vulkan:
            net.set_vulkan_device(self.index)
        if net.load_param(base + ".param") or net.load_model(base + ".bin"):
            raise RuntimeError("ncnn does not load the network")
        self.net, self.names = net, dict(network.outputs)

    def run(self, x):
        with self.net.create_extractor() as extractor:
            extractor.input("input", self.ncnn.Mat(x))
            outputs = {}
            for name in self.names:
                failed, y = extractor.extract(f"out:{name}")
                if failed:
                    raise RuntimeError(f"ncnn fails at {name}")
                outputs[name] = np.array(y)
        return outputs


class Torch(InProcess):
    """PyTorch, eager, on the CPU, as a Python user runs it."""

    name = "pytorch"

    def __init__(self, threads):
        self.torch = require("torch")
        self.torch.set_num_threads(threads)
        self.device = on_cpu("torch", self.torch.__version__, self.torch.get_num_threads())

    def prepare(self, network, folder):
        self.network = network
        tensor = lambda a: self.torch.from_numpy(a) if a is not None else None
        self.weights = {l.name: (tensor(l.weight), tensor(l.bias)) for l in network.layers}

    def run(self, x):
        with self.torch.inference_mode():
            return self.forward(self.torch.nn.functional, x)

    def forward(self, f, x):
        values = {"input": self.torch.from_numpy(x[None])}
        for l in self.network.layers:
            a, (weight, bias), v = l.attrs, self.weights[l.name], [values[i] for i in l.inputs]
            if l.kind == "conv":
                y = f.conv2d(v[0], weight, bias, padding=a["pad"])
                y = y.relu_() if a["relu"] else y
            elif l.kind == "up":
                y = f.conv_transpose2d(v[0], weight, bias, stride=2)
            elif l.kind == "pool":
                y = f.max_pool2d(v[0], a["k"])
            elif l.kind == "resize":
                y = f.interpolate(v[0], scale_factor=a["factor"], mode="bilinear", align_corners=a["align"])
            elif l.kind == "crop":
                y = v[0][:, :, a["top"] :, a["left"] :][:, :, : l.shape[1], : l.shape[2]]
            elif l.kind == "concat":
                y = self.torch.cat(v, 1)
            elif l.kind == "sigmoid":
                y = v[0].sigmoid()
            elif l.kind == "mean":
                y = self.torch.stack(v).mean(0)
            values[l.name] = y
        return {name: values[value][0].numpy() for name, value in self.network.outputs.items()}


class Jax(InProcess):
    """JAX: the whole network compiled by XLA for the CPU. Its threads are those of the variable `NPROC`."""

    name = "jax"

    def __init__(self, threads):
        # XLA reads it once, when the CPU is opened.
        os.environ["NPROC"] = str(threads)
        self.jax = require("jax")
        self.jax.config.update("jax_platforms", "cpu")
        self.device = on_cpu("jax", self.jax.__version__, threads)

    def prepare(self, network, folder):
        self.network = network
        put = lambda a: self.jax.device_put(a) if a is not None else None
        self.weights = {l.name: (put(l.weight), put(l.bias)) for l in network.layers}
        self.compiled = self.jax.jit(self.forward)

    def run(self, x):
        return {name: np.asarray(y) for name, y in self.compiled(self.weights, x).items()}

    def forward(self, weights, x):
        lax, jnp, values = self.jax.lax, self.jax.numpy, {"input": x[None]}
        for l in self.network.layers:
            a, (weight, bias), v = l.attrs, weights[l.name], [values[i] for i in l.inputs]
            if l.kind == "conv":
                form = ("NCHW", "OIHW", "NCHW")
                y = lax.conv_general_dilated(v[0], weight, (1, 1), [(a["pad"],) * 2] * 2, dimension_numbers=form)
                y = y + bias[:, None, None]
                y = jnp.maximum(y, 0) if a["relu"] else y
            elif l.kind == "up":
                y = jnp.einsum("nchw,coij->nohiwj", v[0], weight).reshape(1, *l.shape) + bias[:, None, None]
            elif l.kind == "pool":
                k = (1, 1, a["k"], a["k"])
                y = lax.reduce_window(v[0], -jnp.inf, lax.max, k, k, "VALID")
            elif l.kind == "resize":
                rows, columns = (bilinear(n, a["factor"], a["align"]) for n in v[0].shape[2:])
                y = jnp.einsum("nchw,yh,xw->ncyx", v[0], rows, columns)
            elif l.kind == "crop":
                y = v[0][:, :, a["top"] :, a["left"] :][:, :, : l.shape[1], : l.shape[2]]
            elif l.kind == "concat":
                y = jnp.concatenate(v, 1)
            elif l.kind == "sigmoid":
                y = self.jax.nn.sigmoid(v[0])
            elif l.kind == "mean":
                y = sum(v) / len(v)
            values[l.name] = y
        return {name: values[value][0] for name, value in self.network.outputs.items()}


def bilinear(n, factor, align):
    """Bilinear interpolation of `n` samples to `n * factor` as a matrix, the form in which `jax.image.resize` computes it."""
    out = np.arange(n * factor)
    at = out * (n - 1) / (n * factor - 1) if align else np.clip((out + 0.5) / factor - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n))).astype(np.float32)
