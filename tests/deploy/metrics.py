"""Checks the alerts and the dashboard against the metrics that a running server exports.

Usage: metrics.py <cruddur program>

The script sends a query, a mutation, a request that is rejected and a subscription to `serve`, and
scrapes its metrics. Every metric and label of the alerts and of the dashboard's panels must exist in the
scraped series. If a metric has no series yet, it must exist in the table of metrics in
docs/operations.md, which tests/api/telemetry.rs compares with the code.
"""

import json
import pathlib
import re
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from processes import dev, free_port, post, serving, stores

ROOT = pathlib.Path(__file__).parents[2]
# Labels that Prometheus adds to each series.
ADDED = {"instance", "job", "le"}
WORDS = {"by", "without", "on", "ignoring"}


def scrape(program):
    """The metrics of a server that has had some requests: label names by metric."""
    metrics = f"127.0.0.1:{free_port()}"
    with dev(program) as places, serving(program, stores(places), "--metrics-listen", metrics) as url:
        token = places["tokens"]["luu"]
        post(url, token, {"query": "{ messageGroups { edges { node { otherUser { handle } } } } }"})
        send = 'mutation { createMessage(input: {to: {receiverHandle: "unamused"}, body: "Hello"}) { __typename } }'
        post(url, token, {"query": send})
        post(url, "not-a-token", {"query": "{ viewer { handle } }"})
        post(url, token, {"query": "subscription { messageCreated { cursor } }"}, "text/event-stream")
        text = urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10).read().decode()
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
    """Each expression, with the name of its panel or alert."""
    dashboard = json.loads((ROOT / "deploy/grafana/cruddur.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    alerts = (ROOT / "deploy/prometheus/alerts.yaml").read_text()
    for alert in re.split(r"^\s+- alert: ", alerts, flags=re.M)[1:]:
        yield f"alert {alert.split()[0]}", re.search(r"expr: (.*?)\n\s+(?:for|labels):", alert, re.S)[1]


def check(place, expression, labels, table):
    """The problems of an expression."""
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
