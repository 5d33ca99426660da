"""The alerts and the dashboard, against the metrics that a running server exports.

Usage: metrics.py <cruddur program>

Sends a query, a mutation, a request that is rejected and a subscription to `serve`, and scrapes
its metrics. Every metric and label of the alerts and of the dashboard's panels must exist: in the
scraped series, or, where a metric has no series yet, in the metrics' table of docs/operations.md,
which tests/api/telemetry.rs compares with the code.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
# Labels that Prometheus adds to each series.
ADDED = {"instance", "job", "le"}
WORDS = {"by", "without", "on", "ignoring"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(port, token, body, accept="application/json"):
    headers = {"content-type": "application/json", "accept": accept, "authorization": f"Bearer {token}"}
    address = f"http://127.0.0.1:{port}/graphql"
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers), timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status


def scrape(program):
    """The metrics of a server that has had some requests: label names by metric."""
    port, metrics = free_port(), free_port()
    ports = [argument for name in ("dynamodb", "postgres", "issuer") for argument in (f"--{name}-port", "0")]
    dev = [program, "dev", "--json", "--listen", "127.0.0.1:0", *ports]
    with subprocess.Popen(dev, stdout=subprocess.PIPE, text=True) as dev:
        places = json.loads(dev.stdout.readline())
        environment = {
            "PATH": os.environ["PATH"],
            "RUST_LOG": "error",
            "AWS_ENDPOINT_URL_DYNAMODB": places["dynamodb"],
            "DATABASE_URL": places["database_url"],
            "COGNITO_ISSUER": places["issuer"],
            "AWS_COGNITO_USER_POOL_CLIENT_ID": places["client_id"],
        }
        serve = [program, "serve", "--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{metrics}"]
        with subprocess.Popen(serve, env=environment) as serving:
            try:
                for _ in range(300):
                    with socket.socket() as attempt:
                        if attempt.connect_ex(("127.0.0.1", port)) == 0:
                            break
                    time.sleep(0.1)
                token = places["tokens"]["luu"]
                request(port, token, {"query": "{ messageGroups { edges { node { otherUser { handle } } } } }"})
                send = 'mutation { createMessage(input: {to: {receiverHandle: "unamused"}, body: "Hello"}) { __typename } }'
                request(port, token, {"query": send})
                request(port, "not-a-token", {"query": "{ viewer { handle } }"})
                subscription = {"query": "subscription { messageCreated { cursor } }"}
                request(port, token, subscription, "text/event-stream")
                text = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
            finally:
                serving.terminate()
                dev.terminate()
    labels = {}
    for kind, name, what in re.findall(r"^# (TYPE|UNIT|HELP) (\S+) (.*)$", text, re.M):
        if kind == "TYPE":
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(what, [""])
            labels.update({name + suffix: set() for suffix in suffixes})
    for name, inside in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M):
        labels.setdefault(name, set()).update(re.findall(r"(\w+)=\"", inside))
    return labels


def documented():
    """Label names by metric, as docs/operations.md lists them."""
    page = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:\{([\w,]+)\})?` \|", page, re.M)
    return {name: set(filter(None, inside.split(","))) for name, inside in rows}


def expressions():
    """Where each expression stands, and the expression."""
    dashboard = json.loads((ROOT / "deploy/grafana/cruddur.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    alerts = (ROOT / "deploy/prometheus/alerts.yaml").read_text()
    for alert in re.split(r"^\s+- alert: ", alerts, flags=re.M)[1:]:
        yield f"alert {alert.split()[0]}", re.search(r"expr: (.*?)\n\s+(?:for|labels):", alert, re.S)[1]


def check(place, expression, labels, table):
    """What is wrong with an expression."""
    text = re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"\bcruddur_\w+", text))
    missing = [f"{place}: no metric {name}" for name in names if name not in labels]
    used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", text))
    for group in re.findall(rf"\b(?:{'|'.join(WORDS)})\s*\(([^)]*)\)", text):
        used |= set(re.findall(r"\w+", group))
    known = set(ADDED)
    for name in names & labels.keys():
        known |= labels[name] or table.get(re.sub("_(bucket|sum|count)$", "", name), set())
    return missing + [f"{place}: no label {label}" for label in sorted(used - known)]


def main():
    labels, table = scrape(sys.argv[1]), documented()
    labels = table | labels
    found = list(expressions())
    assert len(found) > 25, found
    wrong = [line for place, expression in found for line in check(place, expression, labels, table)]
    assert check("self-test", "sum by (nothing) (cruddur_no_metric)", labels, table), "the check finds nothing"
    assert not wrong, "\n".join(wrong)
    print(f"{len(found)} expressions of alerts and dashboard use metrics and labels that a server exports")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
