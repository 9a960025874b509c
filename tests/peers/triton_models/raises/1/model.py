"""Has a mistake that shows when it is asked."""


class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("bad pixel")
