"""Looks at what the chart renders to: schemas, names, selectors, graces, PromQL. Run by scripts/check-chart.

usage: validate.py RENDERER FOLDER   (RENDERER is `helm` or the program render)
"""

import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import yaml

CHART = "charts/redis-consumer"
KUBERNETES = ("1.25", "1.29", "1.33", "1.37")
failures = []


def say(name, text):
    print(f"{name:20} {text}", flush=True)


def has(module):
    return importlib.util.find_spec(module) is not None


def fail(where, what):
    failures.append(where)
    say("FAILED", f"{where}: {what}")


def render(renderer, values):
    files = [values] if values else []
    if renderer == "helm":
        flags = [part for path in files for part in ("--values", path)]
        command = ["helm", "template", "demo", CHART, "--namespace", "deepcell", *flags]
    else:
        command = [renderer, CHART, "demo", "deepcell", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None, done.stderr.strip()


def cases(folder):
    """Name, path of the values, for the defaults, each file of ci/, and each release of the helmfile examples."""
    yield "defaults", None
    for path in sorted(glob.glob(f"{CHART}/ci/*-values.yaml")):
        yield os.path.basename(path), path
    for path in sorted(glob.glob("docs/helmfile/*.yaml")):
        text = re.sub(r'{{ *(?:env|requiredEnv) "(\w+)"(?: *\| *default "([^"]*)")? *}}', lambda m: m[2] or m[1], open(path).read())
        if "{{" in text:
            fail(path, "has a template that this check does not know")
            continue
        for release in yaml.safe_load(text)["releases"]:
            values = os.path.join(folder, release["name"] + ".yaml")
            merged = {}
            for part in release["values"]:
                merged.update(part)
            with open(values, "w") as out:
                yaml.safe_dump(merged, out)
            yield f"{os.path.basename(path)}: {release['name']}", values


class NoDuplicates(yaml.SafeLoader):
    """A mapping with a key twice is a mistake of the template."""


def mapping(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"key twice: {twice}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


NoDuplicates.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def check_values(name, path):
    """The values against the chart's own schema, laid over the defaults as helm does it."""
    import jsonschema

    def lay(base, over):
        for key, value in over.items():
            if value is None:
                base.pop(key, None)
            elif isinstance(value, dict) and isinstance(base.get(key), dict):
                lay(base[key], value)
            else:
                base[key] = value
        return base

    schema = json.load(open(f"{CHART}/values.schema.json"))
    jsonschema.Draft7Validator.check_schema(schema)
    values = lay(yaml.safe_load(open(f"{CHART}/values.yaml")), yaml.safe_load(open(path)) if path else {})
    for error in jsonschema.Draft7Validator(schema).iter_errors(values):
        fail(name, f"values: {'.'.join(map(str, error.path))}: {error.message}")


def check_bad_values():
    """What the schema must refuse."""
    import jsonschema

    schema = jsonschema.Draft7Validator(json.load(open(f"{CHART}/values.schema.json")))
    bad = [{"replcas": 1}, {"replicas": "many"}, {"env": {"A B": "c"}}, {"autoscaling": {"mode": "vpa"}}, {"metrics": {"port": 0}},
           {"consumers": [{"janitor": {"enabled": True}}]}, {"consumers": [{"name": "Not_A_Name"}]}, {"env": {"QUEUE": ["a"]}},
           {"podDisruptionBudget": {"maxUnavailable": "some"}}]
    for values in bad:
        if schema.is_valid(values):
            fail("schema", f"takes {values}")
    say("values.schema.json", f"refuses {len(bad)} kinds of mistakes")


def check_objects(name, objects):
    """What no schema says: names are unique, selectors and references meet, graces are in order."""
    known = [(o["kind"], o["metadata"]["name"]) for o in objects]
    for twice in {key for key in known if known.count(key) > 1}:
        fail(name, f"{twice} twice")
    deployments = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Deployment"}
    accounts = {o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"} | {"default"}
    labels = [d["spec"]["template"]["metadata"]["labels"] for d in deployments.values()]
    for deployment, o in deployments.items():
        pod = o["spec"]["template"]["spec"]
        selector = o["spec"]["selector"]["matchLabels"]
        if sum(all(l.get(k) == v for k, v in selector.items()) for l in labels) != 1:
            fail(name, f"{deployment}: its selector does not mean its own pods alone")
        if sorted(selector) != ["app", "release"]:
            fail(name, f"{deployment}: the selector is not that of the Kiosk's chart, an upgrade in place would fail")
        if pod["serviceAccountName"] not in accounts:
            fail(name, f"{deployment}: no such service account")
        container = pod["containers"][0]
        env = [e["name"] for e in container.get("env", [])]
        for twice in {e for e in env if env.count(e) > 1}:
            fail(name, f"{deployment}: variable {twice} twice")
        given = {e["name"]: e.get("value") for e in container.get("env", [])}
        if "SHUTDOWN_GRACE" in given and float(given["SHUTDOWN_GRACE"]) >= pod.get("terminationGracePeriodSeconds", 30):
            fail(name, f"{deployment}: SHUTDOWN_GRACE is not below the grace of the pod")
        for text in filter(None, given.values()):
            if re.fullmatch(r"[\d.]+e\+\d+", text):
                fail(name, f"{deployment}: a number became {text}")
    for o in objects:
        spec = o.get("spec", {})
        target = spec.get("scaleTargetRef", {}).get("name")
        if target and target not in deployments:
            fail(name, f"{o['kind']} {o['metadata']['name']} scales {target}, which is not there")
        if target and "replicas" in deployments[target]["spec"]:
            fail(name, f"{target} has a number of replicas and an autoscaler")
        selector = spec.get("selector", spec.get("podSelector"))
        if o["kind"] in ("PodDisruptionBudget", "PodMonitor", "ServiceMonitor", "NetworkPolicy", "Service"):
            selector = selector.get("matchLabels", selector)
            if sum(all(l.get(k) == v for k, v in selector.items()) for l in labels) != 1:
                fail(name, f"{o['kind']} {o['metadata']['name']} does not select the pods of one deployment")


def check_kubernetes(name, objects):
    import kubernetes_validate

    for version in KUBERNETES:
        for o in objects:
            if "." in o["apiVersion"].split("/")[0] and not o["apiVersion"].split("/")[0].endswith("k8s.io"):
                continue
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                fail(name, f"Kubernetes {version}, {o['kind']}: {error.message} at {error.path}")
            except kubernetes_validate.SchemaNotFoundError as error:
                fail(name, f"Kubernetes {version}: {error}")


def check_crds(name, objects, folder):
    """Objects of KEDA and the Prometheus operator against the schemas of their definitions; gives their kinds."""
    import jsonschema

    seen = set()
    for o in objects:
        version = o["apiVersion"].split("/")[-1]
        path = os.path.join(folder, f"{o['kind'].lower()}_{version}.json")
        if os.path.exists(path):
            seen.add(o["kind"])
            for error in jsonschema.Draft7Validator(json.load(open(path))).iter_errors(o):
                fail(name, f"{o['kind']}: {'.'.join(map(str, error.path))}: {error.message}")
    return seen


def check_rules(name, objects, folder):
    for o in objects:
        if o["kind"] != "PrometheusRule":
            continue
        path = os.path.join(folder, f"rules-{name.split(':')[0]}-{o['metadata']['name']}.yaml")
        with open(path, "w") as out:
            yaml.safe_dump({"groups": o["spec"]["groups"]}, out)
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True)
            if done.returncode:
                fail(name, done.stdout + done.stderr)
        if has("promql_parser"):
            for rule in (rule for group in o["spec"]["groups"] for rule in group["rules"]):
                promql(name, rule["expr"])


def test_alerts(folder):
    """Whether alerts fire when they should, and only then."""
    test = shutil.copy("scripts/chart/alerts-test.yaml", folder)
    done = subprocess.run(["promtool", "test", "rules", test], capture_output=True, text=True)
    if done.returncode:
        fail("promtool test rules", done.stdout + done.stderr)
    else:
        say("promtool", "ok: rules are valid; each alert fires when it should, and not when all is well")


def promql(where, expression):
    import promql_parser

    try:
        promql_parser.parse(expression)
    except ValueError as error:
        fail(where, f"{expression}: {error}")


def check_dashboard():
    dashboard = json.load(open(f"{CHART}/dashboards/redis-consumer.json"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        fail("dashboard", "an id twice")
    taken = set()
    expressions = 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken or x > 23:
                    fail("dashboard", f"{panel['title']} lies on another panel")
                taken.add((x, y))
        for target in panel.get("targets", []):
            expressions += 1
            if has("promql_parser"):
                promql("dashboard", re.sub(r"\$__(rate_interval|range)", "5m", target["expr"]))
    what = "parsed" if has("promql_parser") else "NOT parsed (promql-parser is not installed)"
    say("dashboard", f"ok: {len(ids)} panels, {expressions} expressions {what}")


def main():
    renderer, folder = sys.argv[1:]
    out = os.path.join(folder, "out")
    os.makedirs(out, exist_ok=True)
    crds = os.environ.get("CRD_SCHEMAS", "")
    kinds, count, number = set(), 0, 0
    for name, values in cases(folder):
        if has("jsonschema"):
            check_values(name, values)
        text, errors = render(renderer, values)
        if text is None:
            fail(name, errors)
            continue
        with open(os.path.join(out, f"{number:02}.yaml"), "w") as file:
            file.write(text)
        try:
            objects = [o for o in yaml.load_all(text, NoDuplicates) if o]
        except yaml.YAMLError as error:
            fail(name, f"not YAML: {error}")
            continue
        number += 1
        count += len(objects)
        check_objects(name, objects)
        if has("kubernetes_validate"):
            check_kubernetes(name, objects)
        if crds and has("jsonschema"):
            kinds |= check_crds(name, objects, crds)
        check_rules(name, objects, folder)
    say("rendered", f"{number} sets of values, {count} objects: names, selectors, references, graces")
    if has("kubernetes_validate"):
        say("kubernetes-validate", f"run strictly against Kubernetes {', '.join(KUBERNETES)}")
    else:
        say("kubernetes-validate", "NOT RUN, it is not installed: schemas of Kubernetes")
    if kinds:
        say("CRD_SCHEMAS", f"run: {', '.join(sorted(kinds))}")
    else:
        say("CRD_SCHEMAS", "NOT RUN, the variable is not set: schemas of KEDA and the Prometheus operator")
    if shutil.which("promtool"):
        test_alerts(folder)
    else:
        say("promtool", "NOT RUN, it is not installed: rules, and tests of the alerts")
    if has("jsonschema"):
        check_bad_values()
    else:
        say("jsonschema", "NOT RUN, it is not installed: values.schema.json")
    check_dashboard()
    sys.exit(1 if failures else 0)


main()
