"""The explorer's modules, run by Node."""

import base64
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpose import explorer

EXPLORER = Path(explorer.__file__).parent

# Arrays go both ways as the bytes of a typed array, so that no digit and no NaN is lost; their shape is.
_PRELUDE = """
import { readFileSync } from "node:fs";
const types = { float64: Float64Array, float32: Float32Array, int32: Int32Array, uint32: Uint32Array };
const data = JSON.parse(readFileSync(0, "utf8"), (_, value) =>
  value?.dtype ? new types[value.dtype](new Uint8Array(Buffer.from(value.bytes, "base64")).buffer) : value);
const send = (value) => console.log(JSON.stringify(value, (_, value) => {
  const dtype = Object.keys(types).find((name) => value instanceof types[name]);
  return dtype ? { dtype, bytes: Buffer.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)).toString("base64") } : value;
}));
"""


def run(code: str, data: Any = None) -> Any:
    """What `code`, an ES module beside those of the explorer, gives to `send`; it finds `data` under that name.

    NumPy arrays arrive as flat typed arrays, those of other types as lists, and typed arrays come back as NumPy
    arrays. A number by itself that is not finite comes back as None.

    >>> run('import { norms } from "./measures.js"; send(norms({ n: 1, m: 2, W: data }));', np.array([3.0, 4.0]))
    array([5.])
    """
    done = subprocess.run(
        [_node(), "--input-type=module", "--eval", _PRELUDE + code],
        input=json.dumps(data, default=_typed, allow_nan=False), cwd=EXPLORER, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=_array)


def _typed(value):
    if isinstance(value, np.ndarray) and str(value.dtype) in ("float64", "float32", "int32", "uint32"):
        return {"dtype": str(value.dtype), "bytes": base64.b64encode(value.tobytes()).decode()}
    return value.tolist()  # also of one of NumPy's numbers


def _array(value):
    return np.frombuffer(base64.b64decode(value["bytes"]), value["dtype"]) if "dtype" in value else value


@cache
def _node() -> str:
    """Node on the path, or the one that playwright brings along."""
    if found := shutil.which("node"):
        return found
    driver = pytest.importorskip("playwright._impl._driver", reason="needs node, or the package playwright")
    return str(driver.compute_driver_executable()[0])
