"""Engines that read the network as ONNX."""

import importlib.metadata
import os
import subprocess
import sys
import tempfile

import numpy as np

from engines import InProcess, Missing, on_cpu, require
from formats import onnx_model


class Onnx(InProcess):
    """An engine that reads ONNX: `load` gets the file."""

    def __init__(self):
        self.onnx = require("onnx")

    def prepare(self, network, folder):
        path = os.path.join(folder, "model.onnx")
        self.onnx.save(onnx_model(self.onnx, network), path)
        self.names = list(network.outputs)
        self.load(path)


class OnnxRuntime(Onnx):
    """ONNX Runtime's CPU provider, all of its optimisations."""

    name = "onnxruntime"

    def __init__(self, threads):
        super().__init__()
        self.runtime, self.threads = require("onnxruntime"), threads
        self.device = on_cpu("onnxruntime", self.runtime.__version__, threads)

    def options(self):
        options = self.runtime.SessionOptions()
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = self.threads
        return options

    def load(self, path):
        self.session = self.runtime.InferenceSession(path, self.options(), providers=["CPUExecutionProvider"])

    def run(self, x):
        return {n: y[0] for n, y in zip(self.names, self.session.run(self.names, {"input": x[None]}))}


class WebGpu(OnnxRuntime):
    """ONNX Runtime's WebGPU plugin (Dawn over Vulkan) on the device that our engine uses."""

    name = "onnxruntime-webgpu"

    def __init__(self, threads, adapters):
        super().__init__(threads)
        plugin = require("onnxruntime_ep_webgpu")
        if len(adapters) != 1:
            # The provider neither names its device nor takes a name.
            raise Missing(f"which of {len(adapters)} devices it takes is unknown; VK_DRIVER_FILES=MANIFEST leaves one")
        # Without it the plugin offers no device where there is no GPU.
        os.environ["ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"] = "1"
        self.runtime.set_default_logger_severity(3)
        try:
            self.runtime.register_execution_provider_library("webgpu", plugin.get_library_path())
        except Exception as e:
            raise Missing(f"the plugin does not load: {e}") from e
        devices = [d for d in self.runtime.get_ep_devices() if d.ep_name == plugin.get_ep_name()]
        if not devices:
            raise Missing("the plugin loads, and offers no device")
        self.ep, version = devices[0], devices[0].ep_metadata.get("version", "of unknown version")
        self.device = f"onnxruntime {self.runtime.__version__} with its WebGPU plugin {version}, {adapters[0]}"
        self.check()

    def check(self):
        """Opens the device with a network of one ReLU, to report in words why that fails."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        tensors = [helper.make_tensor_value_info(name, kind, [1, 1, 4, 4]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "check", tensors[:1], tensors[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        with Stderr() as said:
            try:
                self.load(model.SerializeToString())
                return
            except Exception as e:
                why = str(e)
        # Dawn's reason is on stderr only.
        reasons = [line.removeprefix("Warning: ").strip() for line in said.text.splitlines() if line.startswith("Warning:")]
        reasons.append(why[max(why.find("Failed to get a WebGPU adapter"), 0) :].strip())
        raise Missing("; ".join(reasons))

    def load(self, model):
        options = self.options()
        options.add_provider_for_devices([self.ep], {})
        # A node that the provider does not have is an error, not a run on the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        self.session = self.runtime.InferenceSession(model, options)
        if "WebGpuExecutionProvider" not in self.session.get_providers():
            raise RuntimeError(f"runs on {self.session.get_providers()}, not on WebGPU")


class Stderr:
    """What this process, its C++ libraries included, writes to stderr meanwhile."""

    def __enter__(self):
        self.file, self.kept = tempfile.TemporaryFile(), os.dup(2)
        sys.stderr.flush()
        os.dup2(self.file.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self.kept, 2)
        os.close(self.kept)
        self.file.seek(0)
        self.text = self.file.read().decode(errors="replace")
        self.file.close()


class OpenVino(Onnx):
    """OpenVINO's CPU plugin in f32: its default is bf16 where the processor has it."""

    name = "openvino"

    def __init__(self, threads):
        super().__init__()
        openvino = require("openvino")
        self.core, self.threads = openvino.Core(), threads
        self.device = on_cpu("openvino", openvino.__version__.split("-")[0], threads) + ", f32"

    def load(self, path):
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        options |= {"INFERENCE_NUM_THREADS": str(self.threads), "NUM_STREAMS": "1"}
        self.request = self.core.compile_model(path, "CPU", options).create_infer_request()

    def run(self, x):
        results = self.request.infer({"input": x[None]})
        # A copy: the next run overwrites them.
        return {name: np.array(results[name][0]) for name in self.names}


class Iree(Onnx):
    """IREE, compiled for this processor by its own compiler."""

    name = "iree"

    def __init__(self, threads):
        super().__init__()
        require("iree.compiler")
        self.runtime = require("iree.runtime")
        self.runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
        self.device = on_cpu("iree", importlib.metadata.version("iree-base-runtime"), threads)

    def load(self, path):
        base = path.removesuffix(".onnx")
        target = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
        target += ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"]
        self.tool("iree-import-onnx", path, "--opset-version", "17", "-o", base + ".mlir")
        self.tool("iree-compile", base + ".mlir", *target, "-o", base + ".vmfb")
        module = self.runtime.load_vm_flatbuffer_file(base + ".vmfb", driver="local-task")
        names = [n for n in module.vm_module.function_names if not n.endswith("$async") and not n.startswith("__")]
        self.function = module[names[0]]

    def tool(self, name, *arguments):
        program = os.path.join(os.path.dirname(sys.executable), name)
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[0]}")

    def run(self, x):
        results = self.function(x[None])
        results = results if isinstance(results, (tuple, list)) else [results]
        return {name: y.to_host()[0] for name, y in zip(self.names, results)}
