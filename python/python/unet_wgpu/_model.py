"""Models."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _arrays, _native, _torch
from ._arguments import bytes_of, channel_list, finite, json_of, observer, part_of, scale_of, settings_of, whole
from ._device import prepare
from ._segment import Segmentation

if TYPE_CHECKING:
    from typing_extensions import Self


class Model:
    """A network with its weights. :meth:`Model.open` makes one.

    A model may be used from several threads; its calls on one device run one after another. Different models run at the
    same time.

    Examples
    --------
    >>> import unet_wgpu
    >>> model = unet_wgpu.Model.open("nuclei")
    >>> model
    <Model nuclei: unet, 1 channel, classes background, nucleus>
    """

    def __init__(self, native: _native.Model) -> None:
        self._native = native
        self._name = native.name
        self._lock = threading.Lock()
        self._segmenter: tuple[tuple[str, str, str], _native.Segmenter] | None = None

    @classmethod
    def open(cls, model: str | os.PathLike[str], *, settings: Mapping[str, Any] | None = None) -> Self:
        """Open a built-in model by name, or a file.

        Parameters
        ----------
        model : str or path-like
            A built-in model ("nuclei", "nuclei-unet++", "nuclei-unet3+", "nuclei-he"), a checkpoint of this project
            (.safetensors, .safetensors.gz), a PyTorch checkpoint of a U-Net family member (.pt, .pth, .ckpt), an ONNX
            file, or a bioimage.io package (.zip or its folder).
        settings : dict, optional
            What a file does not say, instead of what would be assumed; see :attr:`assumed`. For example
            ``{"classes": "background,tumour"}`` for a PyTorch checkpoint, ``{"activation": "sigmoid"}`` for an ONNX file,
            ``{"level": 2}`` for a U-Net++.

        Returns
        -------
        Model

        Raises
        ------
        InvalidArgumentError
            If there is no such built-in model, or a setting is wrong.
        InvalidFileError, MissingFileError, FileAccessError
            If the file does not exist, or holds no network that can be read.
        ParameterError, UnsupportedModelError
            If the checkpoint does not suit its network.
        """
        return cls(_native.Model.open(os.fsdecode(model), json_of("settings", settings or {})))

    @classmethod
    def from_torch(cls, module: Any, *, settings: Mapping[str, Any] | None = None) -> Self:
        """Take over a torch module of a known network.

        Parameters
        ----------
        module : torch.nn.Module or dict
            A module whose parameters have the names of a program that :meth:`open` understands (docs/models.md), or its state
            dict: torch tensors on any device, or numpy arrays. Weights are copied.
        settings : dict, optional
            What a state dict does not say, as for :meth:`open`.

        Returns
        -------
        Model

        Raises
        ------
        InvalidArgumentError
            If it is no state dict, or a setting is wrong.
        InvalidFileError, ParameterError
            If the names are those of no known network, or parameters do not suit it.
        """
        with tempfile.TemporaryDirectory(prefix="unet-wgpu-") as folder:
            path = Path(folder) / "state_dict.safetensors"
            path.write_bytes(_torch.safetensors(_torch.state_of(module)))
            model = cls.open(path, settings=settings)
            model._name = "state dict" if isinstance(module, Mapping) else type(module).__name__
            return model

    def to_torch_state_dict(self) -> OrderedDict[str, Any]:
        """Return the parameters and running statistics as a state dict.

        Returns
        -------
        collections.OrderedDict
            Names and torch tensors in host memory; numpy arrays if torch is not installed. Names are those of this project's
            checkpoints (docs/models.md), whatever program the model came from: ``enc.0.conv1.weight``,
            ``enc.0.bn1.running_mean``, ``head.weight``, ... Shapes are torch's. Its ``_metadata``, which torch saves with it,
            describes the model, so that :meth:`from_torch` gives the same model back.

        Raises
        ------
        InvalidArgumentError
            If the model is an ONNX file of another family, whose parameters have no such names.

        Examples
        --------
        >>> import unet_wgpu
        >>> state = unet_wgpu.Model.open("nuclei").to_torch_state_dict()
        >>> tuple(state["enc.0.conv1.weight"].shape)
        (16, 1, 3, 3)
        >>> unet_wgpu.Model.from_torch(state).inspect()["normalisation"]["kind"]
        'percentile'
        """
        with tempfile.TemporaryDirectory(prefix="unet-wgpu-") as folder:
            path = Path(folder) / "model.safetensors"
            self.convert(path)
            return _torch.state_dict(path.read_bytes())

    @property
    def name(self) -> str:
        """Built-in name or path; of a torch module the name of its class."""
        return self._name

    @property
    def classes(self) -> list[str]:
        """Names of the classes, the background first."""
        return self._native.classes

    @property
    def in_channels(self) -> int:
        """Channels that the network takes."""
        return self._native.in_channels

    @property
    def assumed(self) -> list[str]:
        """What was assumed because the file does not say it, and notes on how it was read. Empty for native files."""
        return self._native.assumed

    def inspect(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """Describe the model.

        Parameters
        ----------
        size : tuple of int, optional
            Rows and columns for which sizes and costs are given; by default the smallest legal size from 256 on.

        Returns
        -------
        dict
            Among others ``arch``, ``config``, ``classes``, ``normalisation``, ``instances``, ``in_channels``,
            ``input_sizes``, ``receptive_field``, ``layers``, ``parameters``, ``macs`` and ``memory`` (bytes on a device).

        Examples
        --------
        >>> import unet_wgpu
        >>> about = unet_wgpu.Model.open("nuclei").inspect()
        >>> about["arch"], about["parameters"], about["receptive_field"]["pixels"]
        ('unet', 1942357, 204)
        """
        about: dict[str, Any] = json.loads(self._native.inspect(None if size is None else (size[0], size[1])))
        return about

    def convert(self, path: str | os.PathLike[str], *, f16: bool = False) -> int:
        """Write the model to a file of another format.

        Parameters
        ----------
        path : str or path-like
            The file: .safetensors, .safetensors.gz or .onnx (opset 17, free batch and image size). An existing file is
            replaced, completely or not at all.
        f16 : bool, default False
            Store the weights of convolutions as 16-bit floats (.safetensors only).

        Returns
        -------
        int
            The size of the file in bytes.

        Raises
        ------
        InvalidArgumentError
            If the format cannot hold the model.
        InvalidFileError, FileAccessError
            If the extension is unknown, or the file cannot be written.
        """
        return self._native.convert(os.fsdecode(path), f16=f16)

    def segment(
        self,
        image: Any,
        *,
        channels: Sequence[int] | None = None,
        instances: bool | str | Mapping[str, Any] = True,
        probability: bool = False,
        scale: float | None = None,
        diameter: float | str | None = None,
        pixel_size: float | tuple[float, float] | None = None,
        tile: int | None = None,
        tta: str = "none",
        memory: int | str = "2G",
        exact: bool = False,
        blend: str = "exact",
        batch: int = 1,
        normalise: str | None = None,
        fill_nan: float | None = None,
        page: int = 0,
        level: int = 0,
        device: str = "auto",
        precision: str = "f32",
        progress: Any = None,
    ) -> Segmentation:
        """Segment an image. Arguments, result and exceptions are those of :func:`unet_wgpu.segment`."""
        source = _arrays.as_image(image, self.in_channels, lazy=True)
        segmenter = self._on(device, precision, tta)
        results = segmenter.segment(
            source,
            channels=channel_list(channels),
            fill_nan=finite("fill_nan", fill_nan),
            page=part_of(source, "page", page),
            level=part_of(source, "level", level),
            instances=settings_of(instances),
            probability=probability,
            scale=scale_of(scale, diameter, pixel_size),
            tile=None if tile is None else whole("tile", tile, 1),
            memory=bytes_of(memory),
            exact=exact,
            blend=blend,
            batch=whole("batch", batch, 1),
            normalise=normalise,
            progress=observer(progress),
        )
        is_labelled = isinstance(getattr(image, "dims", None), tuple) and hasattr(image, "coords")
        return Segmentation(results, segmenter.device, image if is_labelled else None)

    def _on(self, device: str, precision: str, tta: str) -> _native.Segmenter:
        """The model on a device. That of the latest call stays compiled and allocated."""
        key = (device, precision, tta)
        with self._lock:
            if self._segmenter is None or self._segmenter[0] != key:
                prepare()
                # The old buffers are freed before new ones are allocated.
                self._segmenter = None
                native = _native.Segmenter([self._native], device=device, precision=precision, tta=tta)
                self._segmenter = (key, native)
            return self._segmenter[1]

    @staticmethod
    def train(
        images: Iterable[Any] | str | os.PathLike[str],
        labels: Iterable[Any] | None = None,
        config: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], object] | None = None,
        *,
        ground_truth: str = "labels",
        ignore: int | None = None,
        out: str | os.PathLike[str] | None = None,
        resume: bool = False,
        init: str | os.PathLike[str] | Model | None = None,
        device: str = "auto",
    ) -> Model:
        """Train a network on images with ground truth.

        Parameters
        ----------
        images : iterable of array_like, or path
            Images as for :func:`unet_wgpu.segment`; or the folder of a data set (docs/training.md), without `labels`.
        labels : iterable of array_like, shape (H, W), optional
            The ground truth of every image: integers or bool.
        config : dict, optional
            Options of the run: the keys of a run's config.toml, such as ``{"arch": "unet", "steps": 2000, "crop": 256,
            "optimiser": {"lr": 5e-4}, "instances": {"target": "multi"}}``. docs/training.md describes them.
        callback : callable, optional
            Called with a dict for every event: ``{"event": "ready", ...}`` before the first step, ``{"event": "step",
            "step", "of", "loss", "lr"}`` after each, ``{"event": "evaluated", "step", "scores", "best"}``. If it returns
            False, the run saves and ends; what it raises ends it too.
        ground_truth : {"labels", "masks"}, default "labels"
            Whether `labels` number instances or hold class ids.
        ignore : int, optional
            The value of pixels without ground truth, such as -1 or 255: they count neither in the loss nor in the scores, so
            that images may be labelled in part.
        out : path, optional
            The folder of the run, which gets config.toml, metrics, curves and checkpoints; it is needed for `resume`. By
            default a temporary one.
        resume : bool, default False
            Continue the run in `out`.
        init : str, path-like or Model, optional
            A model whose weights the run starts from.
        device : str, default "auto"
            A GPU, as for :func:`unet_wgpu.segment`.

        Returns
        -------
        Model
            The model with the best score on the validation images, a fifth of all unless `config` says otherwise.

        Raises
        ------
        InvalidArgumentError
            If an option is wrong, or training diverged.
        InvalidFileError
            If ground truth does not suit its image.
        KeyboardInterrupt
            On Ctrl-C, after the step in progress and saving; a second one does not wait.
        """
        from ._train import train

        return train(
            images,
            labels,
            config,
            callback,
            ground_truth=ground_truth,
            ignore=ignore,
            out=out,
            resume=resume,
            init=init,
            device=device,
        )

    def __repr__(self) -> str:
        channels = "1 channel" if self.in_channels == 1 else f"{self.in_channels} channels"
        arch = self._native.arch
        return f"<Model {self.name}: {arch}, {channels}, classes {', '.join(self.classes)}>"
