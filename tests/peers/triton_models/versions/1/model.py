"""Answers the image."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    image = triton.get_input_tensor_by_name(request, "image").as_numpy()
    return triton.InferenceResponse([triton.Tensor("answer", image)])
