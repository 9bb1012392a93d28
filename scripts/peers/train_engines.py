"""The training step of U-Net in other engines: batch normalisation, cross entropy with a weight for every pixel, Adam.

Each starts from the parameters of a `Network`, and returns the loss of a step before it updates the parameters."""

import os

import numpy as np

from engines import on_cpu, require

LEARNING_RATE, EPSILON = 1e-3, 1e-5


class Torch:
    """PyTorch, eager; `channels_last` is the memory order in which its CPU convolutions are fastest."""

    def __init__(self, threads, network, x, target, channels_last=False):
        self.name = "pytorch channels_last" if channels_last else "pytorch"
        self.torch = torch = require("torch")
        torch.set_num_threads(threads)
        self.device = on_cpu("torch", torch.__version__, threads)
        order = torch.channels_last if channels_last else torch.contiguous_format
        self.network = torch_unet(torch, network).to(memory_format=order)
        self.x = torch.from_numpy(x).to(memory_format=order)
        self.target = torch.from_numpy(target.astype(np.int64))
        self.weight = torch.ones(self.target.shape)
        self.optimiser = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def step(self):
        loss = self.torch.nn.functional.cross_entropy(self.network(self.x), self.target, reduction="none")
        loss = (loss * self.weight).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def torch_unet(torch, network):
    """U-Net as a module, with the parameters of `network`."""
    nn = torch.nn
    width, depth = network.config["width"], network.config["depth"]

    def twice(i, o):
        layers = []
        for c in (i, o):
            layers += [nn.Conv2d(c, o, 3, padding=1, bias=False), nn.BatchNorm2d(o, EPSILON), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [width << level for level in range(depth + 1)]
            self.enc = nn.ModuleList(twice(i, o) for i, o in zip([network.config["in_channels"], *widths], widths))
            self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
            self.dec = nn.ModuleList(twice(2 * w, w) for w in widths[:-1])
            self.head = nn.Conv2d(width, network.config["out_channels"], 1)

        def forward(self, x):
            skips = []
            for level, block in enumerate(self.enc):
                x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
                skips.append(x)
            for level in reversed(range(depth)):
                x = self.dec[level](torch.cat([skips[level], self.up[level](x)], 1))
            return self.head(x)

    module, places = UNet(), {".conv1.": ".0.", ".bn1.": ".1.", ".conv2.": ".3.", ".bn2.": ".4."}
    state = {}
    for name, values in network.parameters.items():
        for ours, theirs in places.items():
            name = name.replace(ours, theirs)
        state[name] = torch.from_numpy(values.copy())
    left = module.load_state_dict(state, strict=False)
    wrong = left.unexpected_keys + [k for k in left.missing_keys if not k.endswith("num_batches_tracked")]
    if wrong:
        raise RuntimeError(f"other parameters than ours: {', '.join(wrong)}")
    return module


class Jax:
    """JAX: the whole step compiled by XLA for the CPU."""

    name = "jax"

    def __init__(self, threads, network, x, target):
        # XLA reads it once, when the CPU is opened.
        os.environ["NPROC"] = str(threads)
        self.jax = jax = require("jax")
        jax.config.update("jax_platforms", "cpu")
        self.device = on_cpu("jax", jax.__version__, threads)
        self.network, self.data = network, (jax.device_put(x), jax.device_put(target.astype(np.int32)))
        learned = {k: jax.device_put(p) for k, p in network.parameters.items() if ".running_" not in k}
        self.parameters = sum(p.size for p in learned.values())
        zeros = jax.tree.map(jax.numpy.zeros_like, learned)
        self.state = (learned, zeros, jax.tree.map(jax.numpy.zeros_like, learned))
        self.compiled, self.count = jax.jit(self.update, donate_argnums=0), 0

    def step(self):
        self.count += 1
        self.state, loss = self.compiled(self.state, float(self.count), *self.data)
        return float(loss)

    def update(self, state, count, x, target):
        """Adam's step, as in torch.optim."""
        jnp, (p, m, v) = self.jax.numpy, state
        loss, g = self.jax.value_and_grad(self.loss)(p, x, target)
        each = self.jax.tree.map
        m = each(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        first, second = 1 - 0.9**count, 1 - 0.999**count
        change = lambda p, m, v: p - LEARNING_RATE * (m / first) / (jnp.sqrt(v / second) + 1e-8)
        return (each(change, p, m, v), m, v), loss

    def loss(self, p, x, target):
        logits = self.forward(p, x)
        chosen = self.jax.numpy.take_along_axis(logits, target[:, None], 1)[:, 0]
        weight = self.jax.numpy.ones_like(chosen)
        return ((self.jax.nn.logsumexp(logits, 1) - chosen) * weight).mean()

    def forward(self, p, x):
        """The network in training: moments of the batch. Running statistics do not enter the loss and are left out."""
        jnp, lax, depth = self.jax.numpy, self.jax.lax, self.network.config["depth"]
        channels = lambda vector: vector[:, None, None]

        def conv(x, weight, pad):
            form = ("NCHW", "OIHW", "NCHW")
            return lax.conv_general_dilated(x, weight, (1, 1), [(pad, pad)] * 2, dimension_numbers=form)

        def twice(name, x):
            for i in "12":
                x = conv(x, p[f"{name}.conv{i}.weight"], 1)
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
                factor = p[f"{name}.bn{i}.weight"] * lax.rsqrt(variance + EPSILON)
                x = jnp.maximum((x - channels(mean)) * channels(factor) + channels(p[f"{name}.bn{i}.bias"]), 0)
            return x

        skips = []
        for level in range(depth + 1):
            if level:
                n, c, h, w = x.shape
                x = x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))
            x = twice(f"enc.{level}", x)
            skips.append(x)
        for level in reversed(range(depth)):
            n, c, h, w = x.shape
            up = jnp.einsum("nchw,coij->nohiwj", x, p[f"up.{level}.weight"]).reshape(n, c // 2, 2 * h, 2 * w)
            x = twice(f"dec.{level}", jnp.concatenate([skips[level], up + channels(p[f"up.{level}.bias"])], 1))
        return conv(x, p["head.weight"], 0) + channels(p["head.bias"])
