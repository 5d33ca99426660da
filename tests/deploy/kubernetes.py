"""Checks the Kubernetes manifests against Kubernetes' schemas and the program's settings.

Usage: kubernetes.py <cruddur program>. Needs kubernetes-validate.
"""

import os
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml
from program import check_variables

ROOT = pathlib.Path(__file__).parents[2]
# What an operator writes in place of the words in capitals.
WORDS = {"REGION_POOL": "eu-central-1_Example01", "REGION": "eu-central-1", "INGRESS_CIDR": "10.0.0.0/8", "DOMAIN_PREFIX": "cruddur"}


def check_values(program, data):
    """With the values of the ConfigMap, `serve` fails at a store (1) and not at its settings (2)."""
    words = re.compile("|".join(WORDS))
    values = {name: words.sub(lambda found: WORDS[found[0]], value) for name, value in data.items()}
    others = {
        "DATABASE_URL": "postgres://cruddur@127.0.0.1:1/cruddur",
        "CRUDDUR_DATABASE_WAIT": "0",
        "CRUDDUR_METRICS_LISTEN": "127.0.0.1:0",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "PATH": os.environ["PATH"],
    }
    for app in ("off", "on"):
        environment = values | others | {"CRUDDUR_APP": app}
        done = subprocess.run([program, "serve"], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, (app, done.returncode, done.stderr)


def app_variables(text):
    return set(re.findall(r"\bCRUDDUR_APP\w*", text))


def main():
    program = sys.argv[1]
    file = ROOT / "deploy/kubernetes/cruddur.yaml"
    manifests = list(yaml.safe_load_all(file.read_text()))
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    shared = set(by_kind["ConfigMap"]["data"])
    (serve,) = pod["containers"]
    check_variables(program, "serve", shared | {entry["name"] for entry in serve["env"]}, f"{file.name}, serve")
    check_values(program, by_kind["ConfigMap"]["data"])
    template = (ROOT / "deploy/cloudformation.yaml").read_text()
    assert app_variables(" ".join(shared)) == app_variables(template), "the web app has the settings of the stack"
    (migrate,) = pod["initContainers"]
    check_variables(program, "migrate", {entry["name"] for entry in migrate["env"]}, f"{file.name}, migrate")
    print(f"{len(manifests)} manifests are valid, and their variables are settings of the program")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
