"""The options of both programs. Without other packages, so that --help needs none."""

import argparse
import os

NAMES = ["onnxruntime", "onnxruntime-webgpu", "openvino", "ncnn", "ncnn-vulkan", "pytorch", "jax", "iree"]
CASES = ["unet64", "unet64-valid", "unet16", "unet++", "unet3+"]


def common(program, about):
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which the engines take turns (5)")
    parser.add_argument("--threads", type=int, help="threads of every engine, llvmpipe's too (all processors)")
    return parser


def parsed(parser, numbers):
    """The options and the number of threads, if all of `numbers` are positive."""
    options = parser.parse_args()
    threads = os.cpu_count() if options.threads is None else options.threads
    if min(threads, *(getattr(options, name) for name in numbers)) < 1:
        parser.error(f"--threads, {', '.join('--' + n for n in numbers)} must be 1 or more")
    if options.threads is not None:
        # Read by llvmpipe when it is loaded, by our program and by the engines in this process.
        os.environ["LP_NUM_THREADS"] = str(threads)
    return options, threads


def inference():
    parser = common("bench_peers.sh", "Times our engine and others on the same weights.")
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {','.join(CASES)}")
    parser.add_argument("--peers", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each engine in a round (3)")
    slowest = "an engine whose run takes longer is not timed in rounds, s (20)"
    parser.add_argument("--slowest", type=float, default=20, help=slowest)
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    options, threads = parsed(parser, ["rounds", "runs"])
    for given, known in ((options.cases, CASES), (options.peers, NAMES)):
        for word in given.split(","):
            if word not in known:
                parser.error(f"`{word}` is not one of {','.join(known)}")
    return options, threads


def training():
    about = "Times a training step against PyTorch's and JAX's on the CPU, and compares the losses."
    parser = common("bench_train.sh", about)
    parser.add_argument("--batch", type=int, default=2, help="crops per step (2)")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a crop (256)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each engine in a round (5)")
    parser.add_argument("--losses", type=int, default=10, help="steps whose losses are compared first (10)")
    return parsed(parser, ["batch", "size", "rounds", "steps", "losses"])
