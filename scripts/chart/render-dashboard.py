#!/usr/bin/env python3
"""Draws the Grafana dashboard of the chart with the data of a Prometheus, without Grafana.

    scripts/chart/render-dashboard.py http://127.0.0.1:9090 MINUTES dashboard.png

Wants Python 3 with matplotlib. Panels lie where Grafana would put them; colours and fonts are matplotlib's.
"""

import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates
import matplotlib.pyplot as plt

DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "charts/redis-consumer/dashboards/redis-consumer.json"
COLUMN, LINE = 0.75, 0.42  # inches of a unit of Grafana's grid


def ask(server, what, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{server}/api/v1/{what}?{query}") as answer:
        return json.load(answer)["data"]["result"]


def expression(target, minutes):
    text = re.sub(r'=~"\$\w+"', '=~".*"', target["expr"])
    return text.replace("$__rate_interval", "1m").replace("$__range", f"{minutes}m")


def legend(target, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target["legendFormat"]) or target["refId"]


def readable(value, unit):
    if unit in ("bytes", "decbytes", "Bps", "binBps"):
        for name in ("B", "kB", "MB", "GB"):
            if abs(value) < 1000:
                return f"{value:.3g} {name}"
            value /= 1000
        return f"{value:.3g} TB"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value / 1e6:.3g} M"


def main():
    server, minutes, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * COLUMN, height * LINE), facecolor="white")
    now, empty = time.time(), []
    for panel in panels:
        place, unit = panel["gridPos"], panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
        x, y = place["x"] / 24, 1 - (place["y"] + place["h"]) / height
        w, h = place["w"] / 24, place["h"] / height
        if panel["type"] == "row":
            figure.text(0.005, y + h / 3, panel["title"], fontsize=13, weight="bold")
            continue
        if panel["type"] == "stat":
            found = ask(server, "query", query=expression(panel["targets"][0], minutes), time=now)
            value = readable(float(found[0]["value"][1]), unit) if found else "no data"
            empty += [] if found else [panel["title"]]
            figure.text(x + w / 2, y + 0.75 * h, panel["title"], ha="center", fontsize=9)
            figure.text(x + w / 2, y + 0.25 * h, value, ha="center", fontsize=18, color="tab:green")
            continue
        axes = figure.add_axes([x + 0.035, y + 0.24 * h, w - 0.05, 0.62 * h])
        axes.set_title(panel["title"], fontsize=9, loc="left")
        drawn = 0
        for target in panel["targets"]:
            window = {"start": now - minutes * 60, "end": now, "step": max(5, minutes)}
            for series in ask(server, "query_range", query=expression(target, minutes), **window):
                points = [(float(at), float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf")]
                if not points:
                    continue
                times = matplotlib.dates.date2num([__import__("datetime").datetime.fromtimestamp(at) for at, _ in points])
                values = [value for _, value in points]
                axes.plot(times, values, linewidth=1, label=legend(target, series["metric"]))
                drawn += 1
        empty += [] if drawn else [panel["title"]]
        axes.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M"))
        axes.yaxis.set_major_formatter(lambda value, _: readable(value, unit))
        axes.tick_params(labelsize=7)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if drawn:
            axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=3, frameon=False)
        else:
            axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes, color="grey")
    figure.savefig(out, dpi=70)
    print(f"{len(panels)} panels; without data: {', '.join(empty) or 'none'}")


if __name__ == "__main__":
    main()
