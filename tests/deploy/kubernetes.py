"""Checks the Kubernetes manifests against Kubernetes' schemas and the program's settings.

Usage: kubernetes.py <cruddur program>. Needs kubernetes-validate.
"""

import pathlib
import sys

import kubernetes_validate
import yaml
from program import check_variables

ROOT = pathlib.Path(__file__).parents[2]


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
    (migrate,) = pod["initContainers"]
    check_variables(program, "migrate", {entry["name"] for entry in migrate["env"]}, f"{file.name}, migrate")
    print(f"{len(manifests)} manifests are valid, and their variables are settings of the program")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
