"""Objects of KEDA and the Prometheus operator against the types that these publish, out of the npm packages @kubernetes-models.

The compiler of TypeScript refuses unknown fields and wrong types, the packages' own validators wrong patterns and ranges.
"""

import json
import os
import re
import shutil
import subprocess

TOOLS = "target/chart-tools"
PACKAGES = {"keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator"}
HEAD = """function check(line: number, object: { validate(): void }) {
  try { object.validate() } catch (error) { console.log(`${line}: ${error}`) }
}"""


def group(o):
    return o["apiVersion"].rpartition("/")[0]


def is_custom(o):
    return "." in group(o) and not group(o).endswith(".k8s.io")


def installed():
    return shutil.which("node") and os.path.exists(f"{TOOLS}/node_modules/.bin/tsc")


def mistakes(objects):
    """Pairs of a name and a mistake, for a list of pairs of a name and an object."""
    lines = HEAD.splitlines()
    kinds = sorted({(group(o), o["apiVersion"].rpartition("/")[2], o["kind"]) for _, o in objects})
    for name, version, kind in kinds:
        lines.append(f'import {{ {kind}, I{kind} }} from "@kubernetes-models/{PACKAGES[name]}/{name}/{version}/{kind}"')
    names = {}
    for number, (name, o) in enumerate(objects):
        kind = o["kind"]
        names[len(lines) + 1] = f"{name}: {kind}"
        lines.append(f"const o{number}: I{kind} = {json.dumps(o)}; check({len(lines) + 1}, new {kind}(o{number}))")
    with open(f"{TOOLS}/objects.ts", "w") as out:
        out.write("\n".join(lines))
    compiled = _run("node_modules/.bin/tsc", "--strict", "--skipLibCheck", "--module", "nodenext", "objects.ts")
    checked = _run("node", "objects.js")
    found = re.findall(r"^objects\.ts\((\d+),\d+\): (.*)", compiled, re.MULTILINE) + re.findall(r"^(\d+): (.*)", checked, re.MULTILINE)
    if not found and compiled + checked:
        return [("@kubernetes-models", compiled + checked)]
    return [(names.get(int(line), "@kubernetes-models"), mistake) for line, mistake in found]


def _run(*command):
    done = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True)
    return done.stdout + done.stderr
