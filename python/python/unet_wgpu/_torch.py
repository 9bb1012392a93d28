"""State dicts of torch, without torch: as the bytes of a safetensors file."""

from __future__ import annotations

import json
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


def state_of(module: Any) -> Mapping[str, Any]:
    """The state dict of a module, or a state dict as it is."""
    state = module.state_dict() if hasattr(module, "state_dict") else module
    if not isinstance(state, Mapping) or not state:
        raise invalid("module", f"{type(module).__name__} is neither a torch module nor a state dict")
    return state


def safetensors(state: Mapping[str, Any]) -> bytes:
    """The bytes of a safetensors file with these tensors: torch's, or numpy's arrays."""
    header: dict[str, Any] = {}
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
