"""Draws the dashboard from a real Prometheus over a run of the example `torture`.

Usage: dashboard.py <target folder with the example> <image.png> [--minutes 3]. Needs matplotlib, and
prometheus.

Prometheus scrapes the servers of the run. The script draws each panel of deploy/grafana/cruddur.json at
its position in the dashboard, from the results of Prometheus' `query_range` for the panel's queries.
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates
import matplotlib.pyplot
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from processes import free_port, running, wait_for

ROOT = pathlib.Path(__file__).parents[2]
SCRAPE_SECONDS = 5
# Grafana's minimum for `$__rate_interval`.
RATE_INTERVAL = 4 * SCRAPE_SECONDS
UNITS = {"reqps": "req/s", "cps": "1/s", "ops": "1/s", "s": "s", "short": ""}
# Pixels of a column and of a unit of height in Grafana's grid of 24 columns.
COLUMN, HEIGHT = 66, 38


@contextlib.contextmanager
def prometheus(folder, targets):
    """The URL of a Prometheus that scrapes these addresses."""
    port = free_port()
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [{"job_name": "cruddur", "static_configs": [{"targets": targets}]}],
    }))
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]
    with running(command, cwd=folder) as process:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"


def query(url, expression, start, end):
    """The series of an expression: labels and points."""
    expression = expression.replace("$__rate_interval", f"{RATE_INTERVAL}s").replace("$instance", ".*")
    parameters = {"query": expression, "start": start, "end": end, "step": SCRAPE_SECONDS}
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
    response = json.load(urllib.request.urlopen(address, timeout=30))
    assert response["status"] == "success", response
    for series in response["data"]["result"]:
        points = [(float(at), float(value)) for at, value in series["values"] if value != "NaN"]
        if points:
            yield series["metric"], points


def name(target, labels):
    text = target.get("legendFormat") or "{{__name__}}"
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), text)


def draw(axes, panel, url, start, end):
    """Draws a panel; the number of its series."""
    axes.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    axes.set_ylabel(UNITS[unit], fontsize=6)
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(matplotlib.dates.AutoDateLocator(minticks=3, maxticks=6))
    axes.set_xlim(datetime.fromtimestamp(start, timezone.utc), datetime.fromtimestamp(end, timezone.utc))
    drawn = 0
    for target in panel["targets"]:
        for labels, points in query(url, target["expr"], start, end):
            times = [datetime.fromtimestamp(at, timezone.utc) for at, _ in points]
            axes.plot(times, [value for _, value in points], linewidth=1, label=name(target, labels))
            drawn += 1
    if drawn:
        # The panel has space for the legend.
        axes.set_ylim(0, max(axes.get_ylim()[1] * 1.25, 1e-3))
        axes.legend(fontsize=5, loc="upper left", ncols=2, framealpha=0.6)
    else:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", fontsize=8, color="grey")
    return drawn


def draw_dashboard(url, start, end, image):
    panels = json.loads((ROOT / "deploy/grafana/cruddur.json").read_text())["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN, rows * HEIGHT
    figure = matplotlib.pyplot.figure(figsize=(width / 100, height / 100), dpi=100)
    series = {}
    for panel in panels:
        place = panel["gridPos"]
        bottom = 1 - (place["y"] + place["h"]) / rows
        if panel["type"] == "row":
            figure.text(place["x"] / 24 + 0.005, bottom + 0.3 / rows, panel["title"], fontsize=10, fontweight="bold")
            continue
        # The margins of the axes have space for the labels.
        left, inner = (place["x"] + 0.7) / 24, (place["w"] - 1.1) / 24
        axes = figure.add_axes((left, bottom + 0.9 / rows, inner, (place["h"] - 2) / rows))
        series[panel["title"]] = draw(axes, panel, url, start, end)
    figure.savefig(image)
    # A palette makes the file smaller.
    Image.open(image).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(image, optimize=True)
    return series


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--minutes", type=int, default=3)
    options = parser.parse_args()
    targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    torture = [options.target.resolve() / "examples/torture", "--minutes", str(options.minutes)]
    with tempfile.TemporaryDirectory() as folder, prometheus(pathlib.Path(folder), targets) as url:
        start = time.time()
        subprocess.run([*torture, "--metrics-listen", ",".join(targets)], check=True, cwd=ROOT)
        series = draw_dashboard(url, start, time.time(), options.image)
    empty = [title for title, number in series.items() if number == 0]
    print(f"{len(series)} panels, {sum(series.values())} series, without data: {', '.join(empty) or 'none'}")
    assert len(empty) < len(series) / 2, "most panels have no data"
    size = options.image.stat().st_size
    assert size < 300_000, f"the image has {size} bytes"


if __name__ == "__main__":
    main()
