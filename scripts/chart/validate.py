"""Looks at what the chart renders to: schemas, names, selectors, graces, PromQL. Run by scripts/check-chart.

usage: validate.py FOLDER [--all]   (FOLDER gets what is rendered; with --all a missing tool is a failure)
"""

import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import custom_resources
import helm
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


def missing(name, what):
    say(name, f"NOT RUN, it is not installed: {what}")
    if "--all" in sys.argv:
        failures.append(name)


def cases(folder):
    """Name, path of the values: the defaults, each file of ci/, those of the documents, each release of the helmfile examples."""
    yield "defaults", None
    for path in sorted(glob.glob(f"{CHART}/ci/*-values.yaml")):
        yield os.path.basename(path), path
    for page in ("docs/install.md", "docs/exec.md"):
        with open(page) as text, open(os.path.join(folder, os.path.basename(page) + ".yaml"), "w") as out:
            out.write(re.search(r"```yaml\n(# my-values.yaml\n.*?)```", text.read(), re.DOTALL)[1])
        yield page, out.name
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


def render(engine, archive, name, values):
    """The objects of a set of values, None if there are none to look at. The packed chart and an upgrade must give the same."""
    try:
        engine.lint(CHART, values)
        text = engine.render(CHART, values)
        if engine.render(archive, values) != text:
            fail(name, "the packed chart renders to something else")
        if engine.render(CHART, values, upgrade=True) != text:
            fail(name, "an upgrade renders to something else than an installation")
        return text, [o for o in yaml.load_all(text, NoDuplicates) if o]
    except (helm.Refused, yaml.YAMLError) as error:
        fail(name, error)
        return None, None


def check_bad_values(engine, folder):
    """What the schema must refuse."""
    bad = [{"replcas": 1}, {"replicas": "many"}, {"env": {"A B": "c"}}, {"autoscaling": {"mode": "vpa"}}, {"metrics": {"port": 0}},
           {"consumers": [{"janitor": {"enabled": True}}]}, {"consumers": [{"name": "Not_A_Name"}]}, {"env": {"QUEUE": ["a"]}},
           {"podDisruptionBudget": {"maxUnavailable": "some"}}, {"nodeSelector": {"consumer": True}}, {"ephemeral": {"sizeLimit": "20K"}},
           {"dashboard": {"enabled": True, "auth": "password"}}]
    # What no schema can say: a page that everybody could use by mistake.
    open_page = [{"enabled": True}, {"enabled": True, "auth": "token"}, {"enabled": True, "auth": "proxy", "secrets": {"DASHBOARD_TOKEN": "t"}}]
    path = os.path.join(folder, "bad.json")
    for values in bad:
        with open(path, "w") as out:
            json.dump(values, out)
        try:
            engine.render(CHART, path)
            fail("values.schema.json", f"takes {values}")
        except helm.Refused as error:
            if "schema" not in str(error):
                fail("values.schema.json", f"does not refuse {values}: {error}")
    for values in open_page:
        with open(path, "w") as out:
            json.dump({"dashboard": values}, out)
        try:
            engine.render(CHART, path)
            fail("dashboard.yaml", f"takes {values}")
        except helm.Refused as error:
            if "dashboard.auth" not in str(error):
                fail("dashboard.yaml", f"does not refuse {values}: {error}")
    os.remove(path)
    say("values.schema.json", f"ok: Helm refuses {len(bad)} kinds of mistakes")


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
        if given.get("CONSUMER_TYPE") == "exec":
            check_exec(name, deployment, pod, given)
        ports = {str(p["containerPort"]) for p in container.get("ports", [])}
        served = given.get("METRICS_PORT") or given.get("DASHBOARD_LISTEN", "").rpartition(":")[2]
        if ports and ports != {served}:
            fail(name, f"{deployment}: METRICS_PORT or DASHBOARD_LISTEN is {served}, the pod's port {ports}")
        for text in filter(None, given.values()):
            if re.fullmatch(r"[\d.]+e\+\d+", text):
                fail(name, f"{deployment}: a number became {text}")
    for o in objects:
        spec = o.get("spec", {})
        target = spec.get("scaleTargetRef", {}).get("name")
        if target and target not in deployments:
            fail(name, f"{o['kind']} {o['metadata']['name']} scales {target}, which is not there")
        role = o.get("roleRef", {})
        if role and (role["kind"], role["name"]) not in known:
            fail(name, f"{o['kind']} {o['metadata']['name']} binds {role['name']}, which is not there")
        if target and "replicas" in deployments[target]["spec"]:
            fail(name, f"{target} has a number of replicas and an autoscaler")
        for trigger in spec.get("triggers", []):
            addresses = trigger["metadata"].get("addresses", trigger["metadata"].get("address"))
            if not all("." in address for address in addresses.split(",")):
                fail(name, f"{o['metadata']['name']}: KEDA does not find {addresses} from its own namespace")
        selector = spec.get("selector", spec.get("podSelector"))
        if o["kind"] in ("PodDisruptionBudget", "PodMonitor", "ServiceMonitor", "NetworkPolicy", "Service"):
            selector = selector.get("matchLabels", selector)
            if sum(all(l.get(k) == v for k, v in selector.items()) for l in labels) != 1:
                fail(name, f"{o['kind']} {o['metadata']['name']} does not select the pods of one deployment")


def check_exec(name, deployment, pod, given):
    """A command: where its files lie, how large they may be, how long it may take to end."""
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    volume = next(v for v in pod["volumes"] if v["name"] == "ephemeral")
    if not (given["TMPDIR"] + "/").startswith(mounts["ephemeral"] + "/"):
        fail(name, f"{deployment}: TMPDIR is {given['TMPDIR']}, the volume is at {mounts['ephemeral']}")
    units = {"": 1, "M": 10**6, "G": 10**9, "Mi": 2**20, "Gi": 2**30}
    number, unit = re.fullmatch(r"(\d+)(\D*)", str(volume["emptyDir"]["sizeLimit"])).groups()
    if int(given["EXEC_DISK"]) * int(given.get("CONCURRENCY", 4)) > 0.95 * int(number) * units[unit]:
        fail(name, f"{deployment}: EXEC_DISK of all slots is more than the volume holds")
    grace = float(given["SHUTDOWN_GRACE"]) + float(given.get("EXEC_STOP_GRACE", 10))
    if grace >= pod["terminationGracePeriodSeconds"]:
        fail(name, f"{deployment}: SHUTDOWN_GRACE and EXEC_STOP_GRACE are not below the grace of the pod")
    if pod["automountServiceAccountToken"] and "POD_DELETION_COST" not in given:
        fail(name, f"{deployment}: a command has a token that nobody has asked for")


def check_kubernetes(name, objects):
    import kubernetes_validate

    for version in KUBERNETES:
        for o in objects:
            if custom_resources.is_custom(o):
                continue
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                fail(name, f"Kubernetes {version}, {o['kind']}: {error.message} at {error.path}")
            except kubernetes_validate.SchemaNotFoundError as error:
                fail(name, f"Kubernetes {version}: {error}")


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
    if not has("promql_parser"):
        missing("promql-parser", "expressions of the dashboard")
    say("dashboard", f"{len(ids)} panels, {expressions} expressions")


def check_chart(engine, folder):
    archive = engine.package(CHART, folder)
    count, custom = 0, []
    for number, (name, values) in enumerate(cases(folder)):
        text, objects = render(engine, archive, name, values)
        if objects is None:
            continue
        with open(os.path.join(folder, f"rendered-{number:02}.yaml"), "w") as out:
            out.write(text)
        count += len(objects)
        check_objects(name, objects)
        if has("kubernetes_validate"):
            check_kubernetes(name, objects)
        custom += [(name, o) for o in objects if custom_resources.is_custom(o)]
        check_rules(name, objects, folder)
    say("Helm", f"{engine.about()}: lint --strict, template, package; {number + 1} sets of values, {count} objects")
    check_bad_values(engine, folder)
    if has("kubernetes_validate"):
        say("kubernetes-validate", f"run strictly against Kubernetes {', '.join(KUBERNETES)}")
    else:
        missing("kubernetes-validate", "schemas of Kubernetes")
    if custom_resources.installed():
        for where, mistake in custom_resources.mistakes(custom):
            fail(where, mistake)
        say("@kubernetes-models", f"run: {', '.join(sorted({o['kind'] for _, o in custom}))}; {len(custom)} objects")
    else:
        missing("@kubernetes-models", "types of KEDA and the Prometheus operator")
    if shutil.which("promtool"):
        test_alerts(folder)
    else:
        missing("promtool", "rules, and tests of the alerts")


def main():
    engine = helm.find()
    if engine:
        check_chart(engine, sys.argv[1])
    else:
        missing("Helm", "the chart")
    check_dashboard()
    sys.exit(1 if failures else 0)


main()
