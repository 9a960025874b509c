"""A network in MLServer."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxModel(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        network = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        inputs = {tensor.name: self.decode(tensor, default_codec=NumpyCodec) for tensor in payload.inputs}
        asked = [output.name for output in payload.outputs or []]
        names = asked or [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, inputs)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(names, values)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
