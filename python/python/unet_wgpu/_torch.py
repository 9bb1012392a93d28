"""State dicts of torch, without torch: as the bytes of a safetensors file."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arguments import invalid

_TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}


#: Under this name the `_metadata` of a state dict, which torch saves with it and otherwise leaves alone, describes the model.
_ABOUT = "unet_wgpu"


def state_dict(file: bytes) -> OrderedDict[str, Any]:
    """The tensors of a safetensors file: torch's if torch is installed, else numpy's arrays."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        tensor: Any = None
    else:
        tensor = torch.from_numpy
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    types = {code: np.dtype(name).newbyteorder("<") for name, code in _TYPES.items()}
    state: OrderedDict[str, Any] = OrderedDict()
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        array = np.frombuffer(file[start + begin : start + end], types[about["dtype"]]).reshape(about["shape"])
        # A copy, which its owner may write to.
        array = array.astype(array.dtype.newbyteorder("="))
        state[name] = array if tensor is None else tensor(array)
    vars(state)["_metadata"] = OrderedDict({_ABOUT: dict(header.get("__metadata__", {}))})
    return state


def state_of(module: Any) -> Mapping[str, Any]:
    """The state dict of a module, or a state dict as it is."""
    state = module.state_dict() if hasattr(module, "state_dict") else module
    if not isinstance(state, Mapping) or not state:
        raise invalid("module", f"{type(module).__name__} is neither a torch module nor a state dict")
    return state


def safetensors(state: Mapping[str, Any]) -> bytes:
    """The bytes of a safetensors file with these tensors: torch's, or numpy's arrays."""
    header: dict[str, Any] = {}
    about = getattr(state, "_metadata", None)
    if isinstance(about, Mapping) and isinstance(about.get(_ABOUT), Mapping):
        header["__metadata__"] = dict(about[_ABOUT])
    data: list[bytes] = []
    end = 0
    for name, tensor in state.items():
        array = _array(str(name), tensor)
        code = _TYPES.get(array.dtype.name)
        if code is None:
            raise invalid(f"state dict, `{name}`", f"dtype {array.dtype} is not of a parameter")
        data.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        begin, end = end, end + len(data[-1])
        header[str(name)] = {"dtype": code, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *data])


def _array(name: str, tensor: Any) -> np.ndarray[Any, Any]:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        # numpy has no bfloat16; float32 holds all its values.
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if not isinstance(tensor, (np.ndarray, np.generic)):
        raise invalid(f"state dict, `{name}`", f"{type(tensor).__name__} is no tensor")
    return np.asarray(tensor)
