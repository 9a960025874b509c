"""A network in Triton's Python backend; the wheel has no backend for ONNX."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        network = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        asked = request.requested_output_names()
        names = [name for name in self.outputs if name in asked]
        inputs = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        try:
            values = self.session.run(names, inputs)
        except Exception as error:
            return triton.InferenceResponse([], triton.TritonError(str(error)))
        outputs = [triton.Tensor(name, np.ascontiguousarray(value)) for name, value in zip(names, values)]
        return triton.InferenceResponse(outputs)
