"""A network as the files that other engines read: ONNX, and ncnn's two."""

import numpy as np


def onnx_model(onnx, network):
    """The network as ONNX, opset 13; batch normalisation is folded, ReLU is a separate node."""
    h, nodes, initialisers = onnx.helper, [], []

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
