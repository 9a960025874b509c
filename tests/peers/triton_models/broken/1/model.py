"""Cannot be loaded."""


class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("no weights")

    def execute(self, requests):
        raise NotImplementedError
