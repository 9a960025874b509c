"""Helm, as validate.py asks for it: the program if there is one, else its engine out of the Python package helm-python-sdk.

Both take the chart as a folder or an archive, and values as the path of a file or None.
"""

import importlib.util
import shutil
import subprocess

RELEASE, NAMESPACE = "demo", "deepcell"


class Refused(Exception):
    """What Helm had against a chart or its values."""


def find():
    if shutil.which("helm"):
        return Program()
    if importlib.util.find_spec("helm_python"):
        return Package()
    return None


class Program:
    def about(self):
        return "the program, " + self._run("version", "--short").strip()

    def lint(self, chart, values):
        self._run("lint", "--strict", chart, "--namespace", NAMESPACE, *self._files(values))

    def render(self, chart, values, upgrade=False):
        flags = ["--is-upgrade"] if upgrade else []
        return self._run("template", RELEASE, chart, "--namespace", NAMESPACE, *flags, *self._files(values))

    def package(self, chart, folder):
        return self._run("package", chart, "--destination", folder).rsplit(": ", 1)[1].strip()

    def _files(self, values):
        return ["--values", values] if values else []

    def _run(self, *arguments):
        done = subprocess.run(["helm", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise Refused((done.stdout + done.stderr).strip())
        return done.stdout


class Package:
    def __init__(self):
        import helm_python

        self.helm = helm_python

    def about(self):
        return f"its engine, {self.helm.helm_sdk_version()}"

    def lint(self, chart, values):
        found = self.helm.lint(chart, self._values(values), strict=True, namespace=NAMESPACE)
        wrong = [f"{message['path']}: {message['error']}" for message in found["messages"] if message["severity"] > 1]
        if wrong:
            raise Refused("\n".join(wrong))

    def render(self, chart, values, upgrade=False):
        try:
            with self.helm.Chart.load(chart) as loaded:
                parts = loaded.render(
                    self._values(values),
                    name=RELEASE,
                    namespace=NAMESPACE,
                    revision=2 if upgrade else 1,
                    is_install=not upgrade,
                    is_upgrade=upgrade,
                )
        except self.helm.HelmError as error:
            raise Refused(str(error)) from error
        objects = {path: text for path, text in parts.items() if path.endswith(".yaml") and text.strip()}
        return "".join(f"---\n# Source: {path}\n{text}\n" for path, text in sorted(objects.items()))

    def package(self, chart, folder):
        return self.helm.package(chart, destination=folder)

    def _values(self, path):
        if not path:
            return {}
        with open(path) as file:
            return self.helm.values_from_yaml(file.read())
