"""The engines to time: each can `prepare` a network, `run` it once, and return its outputs as arrays."""

import json
import os
import re
import subprocess
import time

import numpy as np


class Missing(Exception):
    """An engine that cannot take part, and why."""


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


class OnnxRuntime(InProcess):
    """ONNX Runtime's CPU provider, all of its optimisations."""

    name = "onnxruntime"

    def __init__(self):
        try:
            import onnx
            import onnxruntime
        except ImportError as e:
            raise Missing(str(e)) from e
        self.onnx, self.runtime = onnx, onnxruntime
        self.device = f"onnxruntime {onnxruntime.__version__}, CPU, {os.cpu_count()} threads"

    def prepare(self, network, folder):
        model = onnx_model(self.onnx, network)
        path = os.path.join(folder, "model.onnx")
        self.onnx.save(model, path)
        options = self.runtime.SessionOptions()
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = self.runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = list(network.outputs)

    def run(self, x):
        return {n: y[0] for n, y in zip(self.names, self.session.run(self.names, {"input": x[None]}))}


def onnx_model(onnx, network):
    """The network as ONNX, opset 13; batch normalisation is folded, ReLU is a separate node."""
    h, nodes, initialisers, aliases = onnx.helper, [], [], {}

    def constant(name, values):
        initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(op, layer, inputs, output=None, **attrs):
        nodes.append(h.make_node(op, inputs, [output or layer.name], name=output or layer.name, **attrs))

    for l in network.layers:
        x, a = l.inputs, l.attrs
        if l.kind == "conv":
            inputs = [x[0], constant(f"{l.name}.weight", l.weight), constant(f"{l.name}.bias", l.bias)]
            k, before = [a["kernel"]] * 2, f"{l.name}.before_relu" if a["relu"] else None
            node("Conv", l, inputs, before, kernel_shape=k, pads=[a["pad"]] * 4)
            if before:
                node("Relu", l, [before])
        elif l.kind == "up":
            inputs = [x[0], constant(f"{l.name}.weight", l.weight), constant(f"{l.name}.bias", l.bias)]
            node("ConvTranspose", l, inputs, kernel_shape=[2, 2], strides=[2, 2])
        elif l.kind == "pool":
            node("MaxPool", l, x, kernel_shape=[a["k"]] * 2, strides=[a["k"]] * 2)
        elif l.kind == "resize":
            scales = constant(f"{l.name}.scales", np.array([1, 1, a["factor"], a["factor"]], np.float32))
            mode = "align_corners" if a["align"] else "half_pixel"
            node("Resize", l, [x[0], "", scales], mode="linear", coordinate_transformation_mode=mode)
        elif l.kind == "crop":
            start = np.array([a["top"], a["left"]], np.int64)
            names = [("starts", start), ("ends", start + np.array(l.shape[1:], np.int64)), ("axes", np.array([2, 3], np.int64))]
            node("Slice", l, [x[0], *(constant(f"{l.name}.{n}", v) for n, v in names)])
        elif l.kind == "concat":
            node("Concat", l, x, axis=1)
        elif l.kind == "sigmoid":
            node("Sigmoid", l, x)
        elif l.kind == "mean":
            node("Mean", l, x)
    for name, value in network.outputs.items():
        if name != value:
            nodes.append(h.make_node("Identity", [value], [name], name=f"output {name}"))
    tensor = lambda name, shape: h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, *shape])
    outputs = [tensor(name, network.shapes[value]) for name, value in network.outputs.items()]
    graph = h.make_graph(nodes, network.arch, [tensor("input", network.input)], outputs, initialisers)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], producer_name="unet bench_peers")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


class Ncnn(InProcess):
    """ncnn: on the CPU, or through Vulkan on the device that our engine uses."""

    def __init__(self, vulkan, adapter=""):
        try:
            import ncnn
        except ImportError as e:
            raise Missing(str(e)) from e
        self.ncnn, self.vulkan, self.name = ncnn, vulkan, "ncnn-vulkan" if vulkan else "ncnn"
        self.device = f"ncnn {ncnn.__version__}, CPU, {os.cpu_count()} threads"
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
        net.opt.num_threads = os.cpu_count()
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


def write_ncnn(network, base):
    """Writes `base`.param and `base`.bin. A blob has one reader, so those with several go through a Split."""
    readers = {}
    for l in network.layers:
        for x in l.inputs:
            readers.setdefault(x, []).append(None)
    for value in network.outputs.values():
        readers.setdefault(value, []).append(None)
    lines, blobs, taken = [], 0, {}

    def emit(kind, name, inputs, outputs, *params):
        nonlocal blobs
        blobs += len(outputs)
        lines.append(" ".join([kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, *params]))

    def split(name):
        n = len(readers.get(name, []))
        if n > 1:
            emit("Split", f"{name}.split", [name], [f"{name}#{i}" for i in range(n)])

    def read(name):
        taken[name] = taken.get(name, -1) + 1
        return f"{name}#{taken[name]}" if len(readers[name]) > 1 else name

    c, h, w = network.input
    emit("Input", "input", [], ["input"], f"0={w}", f"1={h}", f"2={c}")
    split("input")
    with open(base + ".bin", "wb") as file:
        for l in network.layers:
            a, inputs = l.attrs, [read(x) for x in l.inputs]
            put = lambda kind, *params: emit(kind, l.name, inputs, [l.name], *params)
            if l.kind == "conv":
                relu = ["9=1"] if a["relu"] else []
                size = [f"0={l.shape[0]}", f"1={a['kernel']}", f"4={a['pad']}", "5=1", f"6={l.weight.size}"]
                put("Convolution", *size, *relu)
            elif l.kind == "up":
                put("Deconvolution", f"0={l.shape[0]}", "1=2", "3=2", "5=1", f"6={l.weight.size}")
            elif l.kind == "pool":
                put("Pooling", "0=0", f"1={a['k']}", f"2={a['k']}", "5=1")
            elif l.kind == "resize":
                put("Interp", "0=2", f"1={a['factor']}.0", f"2={a['factor']}.0", f"6={int(a['align'])}")
            elif l.kind == "crop":
                c, h, w = l.shape
                put("Crop", f"0={a['left']}", f"1={a['top']}", "2=0", f"3={w}", f"4={h}", f"5={c}")
            elif l.kind == "concat":
                put("Concat", "0=0")
            elif l.kind == "sigmoid":
                put("Sigmoid")
            elif l.kind == "mean":
                n = len(inputs)
                put("Eltwise", "0=1", f"-23301={n}," + ",".join([f"{1 / n}"] * n))
            if l.weight is not None:
                # Deconvolution takes output channels first, too.
                weight = l.weight.transpose(1, 0, 2, 3) if l.kind == "up" else l.weight
                file.write(b"\0\0\0\0" + np.ascontiguousarray(weight, "<f4").tobytes() + l.bias.astype("<f4").tobytes())
            split(l.name)
        for name, value in network.outputs.items():
            emit("Noop", f"output {name}".replace(" ", ":"), [read(value)], [f"out:{name}"])
    with open(base + ".param", "w") as file:
        file.write(f"7767517\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n")


class Torch(InProcess):
    """PyTorch, eager, on the CPU, as a Python user runs it."""

    name = "pytorch"

    def __init__(self):
        try:
            import torch
        except ImportError as e:
            raise Missing(str(e)) from e
        self.torch = torch
        self.device = f"torch {torch.__version__}, CPU, {torch.get_num_threads()} threads"

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
