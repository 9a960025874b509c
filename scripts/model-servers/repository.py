"""Makes the folder from which a model server serves every `MODEL_DIR/<name>/<version>/model.onnx`.

    repository.py triton|mlserver MODEL_DIR FOLDER GRPC_PORT HTTP_PORT

`scripts/model-server` says which variables are read.
"""

import json
import os
import sys
from pathlib import Path

import onnxruntime

HERE = Path(__file__).resolve().parent

# What the protocol calls the types of onnxruntime.
TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
}


def main(kind, model_dir, folder, grpc_port, http_port):
    networks = [path for path in Path(model_dir).glob("*/*/model.onnx") if path.parent.name.isdecimal()]
    if not networks:
        sys.exit(f"{model_dir} has no <name>/<version>/model.onnx")
    for network in sorted(networks, key=name_and_version):
        place = Path(folder) / network.parent.relative_to(model_dir)
        place.mkdir(parents=True)
        if kind == "triton":
            # A model has one description for all versions; the newest comes last.
            (place.parent / "config.pbtxt").write_text(triton_config(network))
            (place / "model.py").symlink_to(HERE / "triton_model.py")
            (place / "model.onnx").symlink_to(network)
        else:
            (place / "model-settings.json").write_text(json.dumps(mlserver_model(network)))
    if kind == "mlserver":
        (Path(folder) / "onnx_model.py").symlink_to(HERE / "mlserver_model.py")
        (Path(folder) / "settings.json").write_text(json.dumps(mlserver(grpc_port, http_port)))


def name_and_version(network):
    return network.parent.parent.name, int(network.parent.name)


def signature(network):
    """Inputs and outputs as `(name, type, shape)`; a size that is free is -1."""
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    inputs, outputs = ([tensor(t) for t in side] for side in (session.get_inputs(), session.get_outputs()))
    tile = os.environ.get("TILE_SIZE")
    if tile:
        inputs = [(name, kind, tiled(shape, int(tile))) for name, kind, shape in inputs]
    return inputs, outputs


def tensor(described):
    shape = [size if isinstance(size, int) else -1 for size in described.shape]
    return described.name, TYPES[described.type], shape


def tiled(shape, tile):
    """The shape of images `[batch, row, column, channel]` with rows and columns of this number where they are free."""
    if len(shape) != 4:
        return shape
    rows_and_columns = [tile if size < 0 else size for size in shape[1:3]]
    return [shape[0], *rows_and_columns, shape[3]]


def triton_config(network):
    inputs, outputs = signature(network)
    batch = int(os.environ.get("TRITON_MAX_BATCH_SIZE") or 4)
    # Triton takes batches only of networks whose tensors all have a free first axis, which it then does not count.
    if any(shape[:1] != [-1] for _, _, shape in inputs + outputs):
        batch = 0
    first = 1 if batch else 0

    def tensors(side):
        return ", ".join(
            f"{{ name: {json.dumps(name)} data_type: TYPE_{kind} dims: {shape[first:]} }}" for name, kind, shape in side
        )

    return f"""name: {json.dumps(network.parent.parent.name)}
backend: "python"
max_batch_size: {batch}
version_policy {{ all {{ }} }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
input [ {tensors(inputs)} ]
output [ {tensors(outputs)} ]
"""


def mlserver_model(network):
    def tensors(side):
        return [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in side]

    inputs, outputs = signature(network)
    return {
        "name": network.parent.parent.name,
        "implementation": "onnx_model.OnnxModel",
        "inputs": tensors(inputs),
        "outputs": tensors(outputs),
        "parameters": {"version": network.parent.name, "uri": str(network)},
    }


def mlserver(grpc_port, http_port):
    # Port 0 is any that is free: MLServer always speaks HTTP, too.
    return {
        "host": "127.0.0.1",
        "grpc_port": int(grpc_port),
        "http_port": int(http_port),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
