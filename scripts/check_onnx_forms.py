"""Compares ONNX files of many forms with onnxruntime: the outputs of `unet run`, and the activation `unet inspect` reports.

    python scripts/check_onnx_forms.py --unet target/release/unet [--keep FOLDER] [NAME ..]
    python scripts/check_onnx_forms.py --fixtures assets/fixtures/onnx_forms

Each case is a small network: one convolution followed by some form of a probability, of its logarithm or of logits, by an
operator in some spelling, or a network quantised by onnxruntime's tools. Every output must equal onnxruntime's within 1e-4 of
its largest value (quantised networks within 0.08 of it), and the activation must be the one that follows from the form. With
--fixtures the cases are written for tests/cpu/onnx_forms.rs. Needs numpy, onnx, onnxruntime.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

H, W = 12, 16
CASES = {}


class Net:
    """A network under construction. `z(c)` are logits of c channels."""

    def __init__(self, opset=17, kind=TensorProto.FLOAT, size=(H, W)):
        self.nodes, self.constants, self.count, self.opset, self.kind, self.size = [], [], 0, opset, kind, size
        self.random = np.random.default_rng(7)
        self.outputs, self.domains = [], []

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def const(self, value, dtype=np.float32):
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        inputs = [i if isinstance(i, str) else self.const(i) for i in inputs]
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def ints(self, *values):
        return self.const(values, np.int64)

    def conv(self, x, ci, co, k=3, gain=1.5, pads=None, **attributes):
        w = self.random.standard_normal((co, ci // attributes.get("group", 1), k, k)) * gain / (k * np.sqrt(ci))
        return self.op("Conv", x, w, self.random.standard_normal(co) * 0.3, pads=[k // 2] * 4 if pads is None else pads, **attributes)

    def z(self, c=1):
        return self.conv("x", 1, c)

    def p(self, c=1):
        return self.op("Sigmoid", self.z(c))

    def s(self, c=3):
        return self.op("Softmax", self.z(c), axis=1)

    def model(self, out, first=None):
        """The model with the output `y`, preceded by the output `first` if there is one."""
        self.nodes.append(helper.make_node("Identity", [out], ["y"]))
        outputs = [helper.make_empty_tensor_value_info("y")]
        if first is not None:
            self.nodes.append(helper.make_node("Identity", [first], ["first"]))
            outputs.insert(0, helper.make_tensor_value_info("first", TensorProto.FLOAT, None))
        graph = helper.make_graph(
            self.nodes,
            "form",
            [helper.make_tensor_value_info("x", self.kind, [1, 1, *self.size])],
            outputs,
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in self.domains]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        model = onnx.shape_inference.infer_shapes(model)
        # The type of the output, as onnxruntime infers it.
        session_type = next((v for v in model.graph.value_info if v.name == out), None)
        if session_type is not None:
            model.graph.output[-1].type.CopyFrom(session_type.type)
        return model


def case(name, activation, **options):
    def add(f):
        CASES[name] = (f, activation, options)
        return f

    return add


def form(name, activation, f, **options):
    CASES[name] = (f, activation, options)


# Probabilities of one channel.
P, S = "after_sigmoid", "after_softmax"
form("sigmoid", P, lambda n: n.p())
form("clip01", P, lambda n: n.op("Clip", n.z(), 0.0, 1.0))
form("clip_min_max", P, lambda n: n.op("Min", n.op("Max", n.z(), 0.0), 1.0))
form("relu_then_min", P, lambda n: n.op("Min", n.op("Relu", n.z()), 1.0))
form("hard_sigmoid", P, lambda n: n.op("HardSigmoid", n.z(), alpha=1 / 6, beta=0.5))
form("hard_sigmoid_written", P, lambda n: n.op("Div", n.op("Clip", n.op("Add", n.z(), 3.0), 0.0, 6.0), 6.0))
form("relu6_written", P, lambda n: n.op("Mul", n.op("Clip", n.op("Add", n.z(), 3.0), 0.0, 6.0), 1 / 6))
form("mean_of_two", P, lambda n: n.op("Mean", n.p(), n.p()))
form("mean_of_three", P, lambda n: n.op("Mean", n.p(), n.p(), n.p()))
form("sum_halved", P, lambda n: n.op("Mul", n.op("Add", n.p(), n.p()), 0.5))
form("weighted", P, lambda n: n.op("Add", n.op("Mul", n.p(), 0.3), n.op("Mul", n.p(), 0.7)))
form("max_of_two", P, lambda n: n.op("Max", n.p(), n.p()))
form("min_of_three", P, lambda n: n.op("Min", n.p(), n.p(), n.p()))
form("product", P, lambda n: n.op("Mul", n.p(), n.p()))
form("noisy_or", P, lambda n: n.op("Sub", 1.0, n.op("Mul", n.op("Sub", 1.0, n.p()), n.op("Sub", 1.0, n.p()))))
form("one_minus", P, lambda n: n.op("Sub", 1.0, n.p()))
form("neg_plus_one", P, lambda n: n.op("Add", n.op("Neg", n.p()), 1.0))
form("sqrt", P, lambda n: n.op("Sqrt", n.p()))
form("square", P, lambda n: n.op("Pow", n.p(), 2.0))
form("gamma", P, lambda n: n.op("Pow", n.p(), 0.7))
form("smoothed", P, lambda n: n.op("Add", n.op("Mul", n.p(), 0.9), 0.05))
form("pad_zero", P, lambda n: n.op("Pad", n.op("Sigmoid", n.conv("x", 1, 1, pads=[0] * 4)), n.ints(0, 0, 1, 1, 0, 0, 1, 1)))
form("pad_ones", P, lambda n: n.op("Pad", n.op("Sigmoid", n.conv("x", 1, 1, pads=[0] * 4)), n.ints(0, 0, 1, 1, 0, 0, 1, 1), 1.0))
form("pad_edge", P, lambda n: n.op("Pad", n.op("Sigmoid", n.conv("x", 1, 1, pads=[0] * 4)), n.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge"))
form("crop", P, lambda n: n.op("Slice", n.p(), n.ints(4, 4), n.ints(-4, -4), n.ints(2, 3)), fixed=True)
form("resize_linear", P, lambda n: n.op("Resize", n.op("AveragePool", n.p(), kernel_shape=[2, 2], strides=[2, 2]), "", np.array([1, 1, 2, 2], np.float32), mode="linear"))
form("resize_nearest", P, lambda n: n.op("Resize", n.op("MaxPool", n.p(), kernel_shape=[2, 2], strides=[2, 2]), "", np.array([1, 1, 2, 2], np.float32), mode="nearest"))
form("resize_cubic", P, lambda n: n.op("Resize", n.op("MaxPool", n.p(), kernel_shape=[2, 2], strides=[2, 2]), "", np.array([1, 1, 2, 2], np.float32), mode="cubic"))
form("average_pool", P, lambda n: n.op("AveragePool", n.p(), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
form("max_pool", P, lambda n: n.op("MaxPool", n.p(), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
form("exp_logsigmoid", P, lambda n: n.op("Exp", n.op("Neg", n.op("Softplus", n.op("Neg", n.z())))))
form("exp_log_sigmoid", P, lambda n: n.op("Exp", n.op("Log", n.p())))
form("logistic_written", P, lambda n: n.op("Reciprocal", n.op("Add", n.op("Exp", n.op("Neg", n.z())), 1.0)))
form("logistic_div", P, lambda n: n.op("Div", 1.0, n.op("Add", 1.0, n.op("Exp", n.op("Neg", n.z())))))


@case("logistic_exp", P)
def _(n):
    e = n.op("Exp", n.z())
    return n.op("Div", e, n.op("Add", e, 1.0))


@case("x_over_one_plus_x", P)
def _(n):
    r = n.op("Relu", n.z())
    return n.op("Div", r, n.op("Add", 1.0, r))


@case("odds", P)
def _(n):
    p, q = n.p(), n.p()
    return n.op("Div", p, n.op("Add", n.op("Add", p, q), 1e-6))


@case("mix", P)
def _(n):
    g, a, b = n.p(), n.p(), n.p()
    return n.op("Add", n.op("Mul", g, a), n.op("Mul", n.op("Sub", 1.0, g), b))


@case("min_max", P, fixed=True)
def _(n):
    z = n.z()
    lo, hi = n.op("ReduceMin", z, axes=[1, 2, 3]), n.op("ReduceMax", z, axes=[1, 2, 3])
    return n.op("Div", n.op("Sub", z, lo), n.op("Sub", hi, lo))


@case("min_max_all_eps", P, fixed=True)
def _(n):
    z = n.z()
    lo, hi = n.op("ReduceMin", z, keepdims=0), n.op("ReduceMax", z, keepdims=0)
    return n.op("Div", n.op("Sub", z, lo), n.op("Add", n.op("Sub", hi, lo), 1e-8))


@case("min_max_flat", P, fixed=True)
def _(n):
    z = n.z()
    f = n.op("Reshape", z, n.ints(1, -1))
    lo = n.op("Reshape", n.op("ReduceMin", f, axes=[1], keepdims=0), n.ints(-1, 1, 1, 1))
    hi = n.op("Reshape", n.op("ReduceMax", f, axes=[1], keepdims=0), n.ints(-1, 1, 1, 1))
    return n.op("Div", n.op("Sub", z, lo), n.op("Sub", hi, lo))


form("tanh_half", P, lambda n: n.op("Mul", n.op("Add", n.op("Tanh", n.z()), 1.0), 0.5))
form("softsign_half", P, lambda n: n.op("Add", n.op("Mul", n.op("Softsign", n.z()), 0.5), 0.5))
form("erf_half", P, lambda n: n.op("Mul", n.op("Add", n.op("Erf", n.z()), 1.0), 0.5))
form("threshold", P, lambda n: n.op("Cast", n.op("Greater", n.p(), 0.5), to=1))
form("threshold_or_equal", P, lambda n: n.op("Cast", n.op("GreaterOrEqual", n.p(), 0.5), to=1))
form("where", P, lambda n: n.op("Where", n.op("Less", n.z(), 0.0), n.p(), n.p()))
form("x255", "after_sigmoid_255", lambda n: n.op("Mul", n.p(), 255.0))
form("x255_uint8", "after_sigmoid_255", lambda n: n.op("Cast", n.op("Mul", n.p(), 255.0), to=TensorProto.UINT8), atol=1.01)
form("x255_round_clip", "after_sigmoid_255", lambda n: n.op("Cast", n.op("Clip", n.op("Round", n.op("Mul", n.p(), 255.0)), 0.0, 255.0), to=TensorProto.UINT8), atol=1.01)
form("tanh_127", "after_sigmoid_255", lambda n: n.op("Mul", n.op("Add", n.op("Tanh", n.z()), 1.0), 127.5))
form("cast_half", P, lambda n: n.op("Cast", n.op("Cast", n.p(), to=TensorProto.FLOAT16), to=1), atol=1e-3)
form("depthwise_blur", P, lambda n: n.op("Conv", n.p(), np.full((1, 1, 3, 3), 1 / 9, np.float32), pads=[1] * 4))
form("upsample_deconv", P, lambda n: n.op("ConvTranspose", n.op("MaxPool", n.p(), kernel_shape=[2, 2], strides=[2, 2]), np.full((1, 1, 2, 2), 1.0, np.float32), strides=[2, 2]))
form("channel_mean", P, lambda n: n.op("ReduceMean", n.p(4), axes=[1]))
form("channel_max", P, lambda n: n.op("ReduceMax", n.p(4), axes=[1]))
form("softmax_slice", P, lambda n: n.op("Slice", n.s(2), n.ints(1), n.ints(2), n.ints(1)))
form("softmax_gather", P, lambda n: n.op("Unsqueeze", n.op("Gather", n.s(2), n.const(1, np.int64), axis=1), n.ints(1)))
form("one_minus_background", P, lambda n: n.op("Sub", 1.0, n.op("Slice", n.s(3), n.ints(0), n.ints(1), n.ints(1))))
form("sum_of_foreground", P, lambda n: n.op("ReduceSum", n.op("Slice", n.s(3), n.ints(1), n.ints(3), n.ints(1)), n.ints(1)))


@case("stack_mean", P)
def _(n):
    parts = [n.op("Unsqueeze", n.p(), n.ints(0)) for _ in range(3)]
    return n.op("ReduceMean", n.op("Concat", *parts, axis=0), axes=[0], keepdims=0)


@case("stack_last_sum", P)
def _(n):
    parts = [n.op("Unsqueeze", n.p(), n.ints(-1)) for _ in range(2)]
    return n.op("Mul", n.op("ReduceSum", n.op("Concat", *parts, axis=-1), n.ints(-1), keepdims=0), 0.5)


@case("stack_1_max", P)
def _(n):
    parts = [n.op("Unsqueeze", n.p(), n.ints(1)) for _ in range(3)]
    return n.op("ReduceMax", n.op("Concat", *parts, axis=1), axes=[1], keepdims=0)


@case("stack_2_mean_of_3_channels", P)
def _(n):
    parts = [n.op("Unsqueeze", n.p(3), n.ints(2)) for _ in range(3)]
    return n.op("ReduceMean", n.op("Concat", *parts, axis=2), axes=[2], keepdims=0)


@case("stack_reshape_mean", P, fixed=True)
def _(n):
    parts = n.op("Concat", n.p(), n.p(), n.p(), axis=0)
    return n.op("ReduceMean", parts, axes=[0], keepdims=1)


@case("tta_flip", P)
def _(n):
    w = n.const(n.random.standard_normal((1, 1, 3, 3)))
    flip = lambda v: n.op("Slice", v, n.ints(-1), n.ints(-(2**31)), n.ints(3), n.ints(-1))
    a = n.op("Sigmoid", n.op("Conv", "x", w, pads=[1] * 4))
    b = flip(n.op("Sigmoid", n.op("Conv", flip("x"), w, pads=[1] * 4)))
    return n.op("Div", n.op("Add", a, b), 2.0)


@case("p_times_mask", P)
def _(n):
    p = n.p()
    return n.op("Mul", p, n.op("Cast", n.op("Greater", p, 0.3), to=1))


@case("sharpened", P)
def _(n):
    p = n.p()
    a, b = n.op("Pow", p, 2.0), n.op("Pow", n.op("Sub", 1.0, p), 2.0)
    return n.op("Div", a, n.op("Add", a, b))


@case("attention_gate_then_clip", P)
def _(n):
    return n.op("Clip", n.op("Mul", n.op("Relu", n.z()), n.p()), "", 1.0)


@case("hard_tanh", P)
def _(n):
    return n.op("Div", n.op("Add", n.op("Clip", n.z(), -1.0, 1.0), 1.0), 2.0)


@case("where_of_ratios", P)
def _(n):
    r = n.op("Relu", n.z())
    return n.op("Where", n.op("Greater", r, 0.0), n.op("Div", r, n.op("Add", r, 1.0)), n.const(np.zeros((1, 1, 1, 1))))


@case("length_of_vectors", P)
def _(n):
    r = n.op("Relu", n.z(3))
    return n.op("Div", r, n.op("Max", n.op("ReduceL2", r, axes=[1]), 1e-12))


form("product_of_channels", P, lambda n: n.op("ReduceProd", n.p(3), axes=[1]))
form("p_squared_by_mul", P, lambda n: (lambda p: n.op("Mul", p, p))(n.p()))
form("half_difference", P, lambda n: n.op("Abs", n.op("Sub", n.p(), n.p())))
form("exp_of_minus_relu", P, lambda n: n.op("Exp", n.op("Neg", n.op("Relu", n.z()))))
form("gaussian", P, lambda n: n.op("Exp", n.op("Neg", n.op("Pow", n.z(), 2.0))))
form("inverse_square", P, lambda n: n.op("Reciprocal", n.op("Add", n.op("Mul", *[n.z()] * 2), 1.0)))
form("depth_to_space", P, lambda n: n.op("DepthToSpace", n.op("Sigmoid", n.conv(n.op("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), 1, 4)), blocksize=2))
form("conv_of_softmax", P, lambda n: n.op("Conv", n.s(3), np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 3, 1, 1)))
form("percent", "after_sigmoid_255", lambda n: n.op("Mul", n.p(), 100.0))

# Several channels.
form("sigmoids", P, lambda n: n.p(3))
form("sigmoids_mean", P, lambda n: n.op("Mean", n.p(3), n.p(3)))
form("clip_3", P, lambda n: n.op("Clip", n.z(3), 0.0, 1.0))
form("sigmoids_joined", P, lambda n: n.op("Concat", n.p(), n.p(2), axis=1))
form("softmax", S, lambda n: n.s())
form("softmax_nhwc", S, lambda n: n.op("Transpose", n.op("Softmax", n.op("Transpose", n.z(3), perm=[0, 2, 3, 1]), axis=-1), perm=[0, 3, 1, 2]))
form("softmax_flat", S, lambda n: n.op("Reshape", n.op("Softmax", n.op("Reshape", n.z(3), n.ints(1, 3, -1)), axis=1), n.ints(1, 3, H, W)), fixed=True)
form("softmax_flat_last", S, lambda n: n.op("Reshape", n.op("Transpose", n.op("Softmax", n.op("Transpose", n.op("Reshape", n.z(3), n.ints(1, 3, -1)), perm=[0, 2, 1]), axis=2), perm=[0, 2, 1]), n.ints(1, 3, H, W)), fixed=True)
form("softmax_crop", S, lambda n: n.op("Slice", n.s(), n.ints(4, 4), n.ints(-4, -4), n.ints(2, 3)), fixed=True)
form("softmax_pad", S, lambda n: n.op("Pad", n.op("Softmax", n.conv("x", 1, 3, pads=[0] * 4), axis=1), n.ints(0, 0, 1, 1, 0, 0, 1, 1)))
form("softmax_resize", S, lambda n: n.op("Resize", n.op("AveragePool", n.s(), kernel_shape=[2, 2], strides=[2, 2]), "", np.array([1, 1, 2, 2], np.float32), mode="linear"))
form("softmax_cubic", S, lambda n: n.op("Resize", n.op("AveragePool", n.s(), kernel_shape=[2, 2], strides=[2, 2]), "", np.array([1, 1, 2, 2], np.float32), mode="cubic"))
form("softmax_mean", S, lambda n: n.op("Mean", n.s(), n.s()))
form("softmax_max", S, lambda n: n.op("Max", n.s(), n.s()))
form("softmax_exp_log", S, lambda n: n.op("Exp", n.op("LogSoftmax", n.z(3), axis=1)))
form("softmax_x255", "after_softmax_255", lambda n: n.op("Mul", n.s(), 255.0))
form("softmax_foreground", P, lambda n: n.op("Slice", n.s(4), n.ints(1), n.ints(4), n.ints(1)))
form("softmax_old_opset", S, lambda n: n.op("Transpose", n.op("Softmax", n.op("Transpose", n.z(3), perm=[0, 2, 3, 1]), axis=3), perm=[0, 3, 1, 2]), opset=11)


@case("softmax_written", S)
def _(n):
    e = n.op("Exp", n.z(3))
    return n.op("Div", e, n.op("ReduceSum", e, n.ints(1)))


@case("softmax_written_max", S)
def _(n):
    z = n.z(3)
    e = n.op("Exp", n.op("Sub", z, n.op("ReduceMax", z, axes=[1])))
    return n.op("Div", e, n.op("ReduceSum", e, n.ints(1)))


@case("softmax_written_mul", S)
def _(n):
    e = n.op("Exp", n.z(3))
    return n.op("Mul", e, n.op("Reciprocal", n.op("ReduceSum", e, n.ints(1))))


@case("normalised_sigmoids", S)
def _(n):
    p = n.p(3)
    return n.op("Div", p, n.op("Add", n.op("ReduceSum", p, n.ints(1)), 1e-6))


@case("normalised_sigmoids_clip", S)
def _(n):
    p = n.p(3)
    return n.op("Div", p, n.op("Max", n.op("ReduceSum", p, n.ints(1)), 1e-6))


@case("p_and_one_minus_p", S)
def _(n):
    p = n.p()
    return n.op("Concat", n.op("Sub", 1.0, p), p, axis=1)


@case("sigmoid_of_minus", S)
def _(n):
    z = n.z()
    return n.op("Concat", n.op("Sigmoid", n.op("Neg", z)), n.op("Sigmoid", z), axis=1)


@case("two_shares", S)
def _(n):
    a, b = n.op("Exp", n.z()), n.op("Exp", n.z())
    s = n.op("Add", a, b)
    return n.op("Concat", n.op("Div", a, s), n.op("Div", b, s), axis=1)


@case("softmax_remapped", S)
def _(n):
    w = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], np.float32).reshape(3, 4, 1, 1)
    return n.op("Conv", n.s(4), w)


@case("softmax_joined_again", S)
def _(n):
    a, b = n.op("Split", n.s(2), n.ints(1, 1), outputs=2, axis=1)
    return n.op("Concat", b, a, axis=1)


@case("softmax_temperature_mean", S)
def _(n):
    a = n.op("Softmax", n.op("Div", n.z(3), 2.0), axis=1)
    return n.op("Add", n.op("Mul", a, 0.25), n.op("Mul", n.s(3), 0.75))


@case("softmax_of_a_stack", S)
def _(n):
    stack = n.op("Concat", *[n.op("Unsqueeze", n.z(3), n.ints(0)) for _ in range(2)], axis=0)
    return n.op("ReduceMean", n.op("Softmax", stack, axis=2), axes=[0], keepdims=0)


# Logarithms of probabilities.
form("log_softmax", "after_log_softmax", lambda n: n.op("LogSoftmax", n.z(3), axis=1))
form("log_softmax_nhwc", "after_log_softmax", lambda n: n.op("Transpose", n.op("LogSoftmax", n.op("Transpose", n.z(3), perm=[0, 2, 3, 1]), axis=-1), perm=[0, 3, 1, 2]))
form("log_of_softmax", "after_log_softmax", lambda n: n.op("Log", n.s()))
form("log_of_softmax_eps", "after_log_softmax", lambda n: n.op("Log", n.op("Add", n.s(), 1e-7)))
form("log_sigmoid", "after_log_sigmoid", lambda n: n.op("Log", n.p()))
form("logsigmoid", "after_log_sigmoid", lambda n: n.op("Neg", n.op("Softplus", n.op("Neg", n.z()))))
form("log_clipped", "after_log_sigmoid", lambda n: n.op("Log", n.op("Clip", n.p(), 1e-6, 1.0)))
form("log_sigmoids", "after_log_sigmoid", lambda n: n.op("Log", n.p(3)))


@case("log_softmax_lse", "after_log_softmax")
def _(n):
    z = n.z(3)
    return n.op("Sub", z, n.op("ReduceLogSumExp", z, axes=[1]))


@case("log_softmax_written", "after_log_softmax")
def _(n):
    z = n.z(3)
    return n.op("Sub", z, n.op("Log", n.op("ReduceSum", n.op("Exp", z), n.ints(1))))


@case("logsigmoid_written", "after_log_sigmoid")
def _(n):
    z = n.z()
    return n.op("Sub", z, n.op("Log", n.op("Add", n.op("Exp", z), 1.0)))


# Logits.
form("logits", "sigmoid", lambda n: n.z())
form("logits_3", "softmax", lambda n: n.z(3))
form("relu", "sigmoid", lambda n: n.op("Relu", n.z()))
form("tanh", "sigmoid", lambda n: n.op("Tanh", n.z()))
form("gated", "sigmoid", lambda n: n.op("Mul", n.p(), n.z()))
form("conv_of_sigmoid", "sigmoid", lambda n: n.conv(n.p(3), 3, 1))
form("logit_of_p", "sigmoid", lambda n: n.op("Sub", n.op("Log", n.p()), n.op("Log", n.p())))
form("leaky", "sigmoid", lambda n: n.op("LeakyRelu", n.z(), alpha=0.1))
form("sum_of_two_logits", "softmax", lambda n: n.op("Add", n.z(2), n.p(2)))

# Operators and roundabout forms.
form("celu", "sigmoid", lambda n: n.op("Celu", n.z(), alpha=0.7))
form("thresholded_relu", "sigmoid", lambda n: n.op("ThresholdedRelu", n.z(), alpha=0.3))
form("layer_norm_channels_last", "sigmoid", lambda n: n.conv(n.op("Transpose", n.op("LayerNormalization", n.op("Transpose", n.z(4), perm=[0, 2, 3, 1]), n.random.standard_normal(4), n.random.standard_normal(4), axis=-1), perm=[0, 3, 1, 2]), 4, 1))
form("layer_norm_last", "sigmoid", lambda n: n.op("LayerNormalization", n.z(), n.random.standard_normal(W), n.random.standard_normal(W), axis=-1), fixed=True)
form("layer_norm_2", "sigmoid", lambda n: n.op("LayerNormalization", n.z(), n.random.standard_normal((H, W)), axis=2), fixed=True)
form("layer_norm_1", "sigmoid", lambda n: n.op("LayerNormalization", n.z(), n.random.standard_normal((1, H, W)), n.random.standard_normal((1, H, W)), axis=1), fixed=True)
form("layer_norm_tokens", "softmax", lambda n: n.op("Reshape", n.op("Transpose", n.op("LayerNormalization", n.op("Transpose", n.op("Reshape", n.z(4), n.ints(1, 4, -1)), perm=[0, 2, 1]), n.random.standard_normal(4), n.random.standard_normal(4), axis=2), perm=[0, 2, 1]), n.ints(1, 4, H, W)), fixed=True)
form("concat_nothing", "sigmoid", lambda n: n.conv(n.op("Concat", n.z(2), n.const(np.zeros((1, 0, H, W))), axis=1), 2, 1), fixed=True)
form("concat_nothing_sliced", "sigmoid", lambda n: n.conv(n.op("Concat", n.op("Slice", n.z(2), n.ints(0), n.ints(0), n.ints(1)), n.z(2), axis=1), 2, 1))
form("argmin", "class_ids", lambda n: n.op("ArgMin", n.z(3), axis=1))
form("reduce_l2", "sigmoid", lambda n: n.conv(n.op("Div", n.op("LeakyRelu", n.z(3)), n.op("ReduceL2", n.z(3), axes=[1])), 3, 1))
form("argmax", "softmax", lambda n: n.op("ArgMax", n.z(3), axis=1))
form("argmax_of_softmax", S, lambda n: n.op("ArgMax", n.s(), axis=1))
form("argmax_cropped", "class_ids", lambda n: n.op("Slice", n.op("ArgMax", n.z(4), axis=1), n.ints(4, 4), n.ints(-4, -4), n.ints(2, 3)), fixed=True)


@case("five_sliced", "sigmoid")
def _(n):
    z = [n.op("Unsqueeze", n.z(2), n.ints(2)) for _ in range(3)]
    stack = n.op("Concat", *z, axis=2)
    part = n.op("Slice", stack, n.ints(1), n.ints(3), n.ints(2))
    return n.conv(n.op("Squeeze", n.op("ReduceSum", part, n.ints(2)), n.ints(2)), 2, 1)


@case("five_shuffle", "sigmoid", fixed=True)
def _(n):
    z = n.op("Reshape", n.z(4), n.ints(1, 2, 2, H, W))
    return n.conv(n.op("Reshape", n.op("Transpose", z, perm=[0, 2, 1, 3, 4]), n.ints(1, 4, H, W)), 4, 1)


@case("five_weighted", "sigmoid", fixed=True)
def _(n):
    z = n.op("Reshape", n.z(6), n.ints(1, 3, 2, H, W))
    w = n.op("Softmax", n.op("Reshape", n.op("GlobalAveragePool", n.z(6)), n.ints(1, 3, 2, 1, 1)), axis=1)
    return n.conv(n.op("ReduceSum", n.op("Mul", z, w), n.ints(1), keepdims=0), 2, 1)


@case("six_upsample", "sigmoid", fixed=True)
def _(n):
    z = n.op("MaxPool", n.z(2), kernel_shape=[2, 2], strides=[2, 2])
    six = n.op("Reshape", z, n.ints(1, 2, H // 2, 1, W // 2, 1))
    return n.conv(n.op("Reshape", n.op("Expand", six, n.ints(1, 2, H // 2, 2, W // 2, 2)), n.ints(1, 2, H, W)), 2, 1)


@case("five_tile", "sigmoid", fixed=True)
def _(n):
    five = n.op("Tile", n.op("Unsqueeze", n.z(2), n.ints(1)), n.ints(1, 3, 1, 1, 1))
    w = n.const(n.random.standard_normal((1, 3, 2, 1, 1)))
    return n.conv(n.op("ReduceMean", n.op("Mul", five, w), axes=[1], keepdims=0), 2, 1)


@case("six_windows", "sigmoid", fixed=True)
def _(n):
    w = n.op("Transpose", n.op("Reshape", n.z(2), n.ints(1, 2, H // 4, 4, W // 4, 4)), perm=[0, 2, 4, 3, 5, 1])
    w = n.op("LayerNormalization", w, n.random.standard_normal(2), n.random.standard_normal(2), axis=-1)
    back = n.op("Transpose", w, perm=[0, 5, 1, 3, 2, 4])
    return n.conv(n.op("Reshape", back, n.ints(1, 2, H, W)), 2, 1)


@case("expand_channels", "sigmoid", fixed=True)
def _(n):
    return n.conv(n.op("Mul", n.op("Expand", n.p(), n.ints(1, 3, H, W)), n.z(3)), 3, 1)


@case("batch_of_two", P, fixed=True)
def _(n):
    flip = lambda v: n.op("Slice", v, n.ints(-1), n.ints(-(2**31)), n.ints(3), n.ints(-1))
    both = n.op("Sigmoid", n.conv(n.op("Concat", "x", flip("x"), axis=0), 1, 1))
    a, b = n.op("Split", both, n.ints(1, 1), outputs=2, axis=0)
    return n.op("Mean", a, flip(b))


@case("batch_of_two_reduced", P, fixed=True)
def _(n):
    both = n.op("Sigmoid", n.conv(n.op("Concat", "x", n.op("Neg", "x"), axis=0), 1, 1))
    return n.op("ReduceMax", both, axes=[0], keepdims=1)


@case("five_softmax_branches", "sigmoid", fixed=True)
def _(n):
    stack = n.op("Concat", *[n.op("Unsqueeze", n.z(2), n.ints(1)) for _ in range(2)], axis=1)
    return n.conv(n.op("ReduceSum", n.op("Mul", stack, n.op("Softmax", stack, axis=1)), n.ints(1), keepdims=0), 2, 1)


@case("rank_2_first", P, fixed=True)
def _(n):
    z = n.z(5)
    return n.model(n.op("Sigmoid", n.conv(z, 5, 1)), n.op("Flatten", n.op("GlobalAveragePool", z)))


@case("rank_1_first", P, fixed=True)
def _(n):
    z = n.z(5)
    return n.model(n.op("Sigmoid", n.conv(z, 5, 1)), n.op("ReduceMean", z, axes=[0, 2, 3], keepdims=0))


@case("rank_3", P)
def _(n):
    return n.op("Squeeze", n.p(), n.ints(1))


@case("uint8_input", P, kind=TensorProto.UINT8)
def _(n):
    return n.op("Sigmoid", n.conv(n.op("Div", n.op("Cast", "x", to=1), 255.0), 1, 1))


@case("uint8_in_and_out", "after_sigmoid_255", kind=TensorProto.UINT8, atol=1.01)
def _(n):
    p = n.op("Sigmoid", n.conv(n.op("Mul", n.op("Cast", "x", to=1), 1 / 255), 1, 1))
    return n.op("Cast", n.op("Clip", n.op("Round", n.op("Mul", p, 255.0)), 0.0, 255.0), to=TensorProto.UINT8)


form("uint8_logits", "sigmoid", lambda n: n.op("QuantizeLinear", n.z(), 0.02, n.const(100, np.uint8)), atol=1.01)
form("int8_logits_turned", "softmax", lambda n: n.op("Transpose", n.op("Transpose", n.op("QuantizeLinear", n.z(3), 0.02, n.const(-10, np.int8)), perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2]), atol=1.01)
form("uint8_probability", P, lambda n: n.op("QuantizeLinear", n.p(), 1 / 255, n.const(0, np.uint8)), atol=1.01)
form("quantised_pooled", P, lambda n: n.op("DequantizeLinear", n.op("MaxPool", n.op("QuantizeLinear", n.p(), 1 / 255, n.const(0, np.uint8)), kernel_shape=[3, 3], pads=[1] * 4), 1 / 255, n.const(0, np.uint8)), atol=3e-3)
form("relu_by_saturation", "sigmoid", lambda n: n.conv(n.op("DequantizeLinear", n.op("QuantizeLinear", n.z(2), 0.01, n.const(0, np.uint8)), 0.01, n.const(0, np.uint8)), 2, 1), atol=2e-2)
form("weights_of_channels", "softmax", lambda n: n.op("Conv", "x", n.op("DequantizeLinear", n.const(n.random.integers(-100, 100, (3, 1, 3, 3)), np.int8), n.const([0.01, 0.02, 0.005]), n.const([0, 3, -2], np.int8), axis=0), pads=[1] * 4))


@case("uint8_input_dequantised", P, kind=TensorProto.UINT8)
def _(n):
    return n.op("Sigmoid", n.conv(n.op("DequantizeLinear", "x", 1 / 255, n.const(0, np.uint8)), 1, 1))


def trunk(n, end):
    a = n.op("Relu", n.conv("x", 1, 8))
    b = n.op("Relu", n.conv(n.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 8, 16))
    up = n.op("ConvTranspose", b, n.random.standard_normal((16, 8, 2, 2)) * 0.2, n.random.standard_normal(8) * 0.1, strides=[2, 2])
    c = n.op("Relu", n.conv(n.op("Concat", a, up, axis=1), 16, 8))
    z = n.conv(c, 8, 1, k=1)
    return n.op("Sigmoid", z) if end == "sigmoid" else z


def quantised(n, how, end):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            r = np.random.default_rng(3)
            self.all = iter([{"x": r.random((1, 1, H, W), np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.all, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/f.onnx", f"{folder}/q.onnx"
        onnx.save(n.model(trunk(n, end)), source)
        quant_pre_process(source, source)
        if how == "dynamic":
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
        else:
            quantize_static(
                source, target, Reader(),
                quant_format=QuantFormat.QDQ if how.startswith("qdq") else QuantFormat.QOperator,
                per_channel="channel" in how,
                activation_type=QuantType.QInt8 if "signed" in how else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        return onnx.load(target)


for how in ["qdq", "qdq_channel", "qdq_signed", "qop", "qop_channel", "dynamic"]:
    for end, activation in [("sigmoid", P), ("logits", "sigmoid")]:
        CASES[f"{how}_{end}"] = (lambda n, how=how, end=end: quantised(n, how, end), activation, {"quantised": 0.08})


def prepare(name):
    """A case's file, its input, onnxruntime's output and the tolerance."""
    build, _, options = CASES[name]
    net = Net(options.get("opset", 17), options.get("kind", TensorProto.FLOAT))
    out = build(net)
    model = net.model(out) if isinstance(out, str) else out
    if not options.get("fixed") and "quantised" not in options:
        shape = model.graph.input[0].type.tensor_type.shape
        shape.dim[2].dim_param, shape.dim[3].dim_param = "h", "w"
        model.graph.output[0].type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    r = np.random.default_rng(5)
    whole = options.get("kind") == TensorProto.UINT8
    x = r.integers(0, 256, (1, 1, H, W)).astype(np.uint8) if whole else r.random((1, 1, H, W), np.float32)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0].astype(np.float32)
    allowed = options.get("atol", options.get("quantised", 1e-4) * max(np.abs(expected).max(), 1e-3))
    return data, x.astype(np.float32), expected, float(allowed)


def save_safetensors(path, tensors):
    header, offset = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(t.tobytes() for t in tensors.values()))


def write_fixtures(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors, list_ = {}, []
    for name, (_, activation, _) in CASES.items():
        data, x, expected, allowed = prepare(name)
        (folder / f"{name}.onnx").write_bytes(data)
        tensors[f"{name}/x"], tensors[f"{name}/y"] = x, expected
        list_.append({"name": name, "activation": activation, "allowed": allowed})
    save_safetensors(folder / "forms.safetensors", tensors)
    (folder / "forms.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in list_) + "\n]\n")


def check(name, unet, device, folder):
    """The problems of a case."""
    activation = CASES[name][1]
    data, x, expected, allowed = prepare(name)
    path = folder / f"{name}.onnx"
    path.write_bytes(data)
    np.save(folder / f"{name}_x.npy", x)
    output = folder / f"{name}_y.npy"
    run = [unet, "--device", device, "run", "-m", path, "--input", folder / f"{name}_x.npy", "--output", output]
    done = subprocess.run([str(a) for a in run], capture_output=True, text=True)
    if done.returncode:
        return [done.stderr.strip()[-300:]]
    got = np.load(output)
    if got.shape != expected.shape:
        return [f"shape {got.shape}, not {expected.shape}"]
    notes = " ".join(line.strip() for line in done.stderr.splitlines() if "activation=" in line)
    error = np.abs(got - expected).max()
    problems = [] if error <= allowed else [f"differs by {error:.3g}, allowed {allowed:.3g}"]
    return problems + ([] if f"activation={activation} " in notes else [f"activation is not {activation}: {notes}"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unet", default="target/release/unet")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--fixtures", type=pathlib.Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.fixtures:
        return write_fixtures(args.fixtures)
    folder = args.keep or pathlib.Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    names, failed = args.names or list(CASES), 0
    for name in names:
        problems = check(name, args.unet, args.device, folder)
        failed += bool(problems)
        if problems:
            print(f"{name:<28} {'; '.join(problems)}", flush=True)
    print(f"{len(names) - failed} of {len(names)} are correct")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
