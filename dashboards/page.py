"""The page of `dashboards/preview`: each panel as HTML, in the grid of its dashboard."""

import time
from html import escape

import chart
from chart import COLOURS, LEVELS, Frame, number

# A column of Grafana's 24, in pixels, and the height of its unit. A preview is no narrower than its charts.
COLUMN, UNIT = 68, 24

STYLE = """
body { margin: 0; padding: 16px 20px; width: 1640px; background: #eef0f3; color: #1c2430; }
body { font: 13px/1.35 "DejaVu Sans", Verdana, sans-serif; }
h1 { font-size: 22px; margin: 8px 0 2px; } h3 { grid-column: span 24; font-size: 15px; margin: 10px 0 0; }
p { margin: 0; color: #55606e; } h1 + p { margin-bottom: 8px; }
.board { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; margin-bottom: 28px; }
.panel { background: #fff; border: 1px solid #d5dae1; border-radius: 4px; padding: 8px 10px; min-width: 0; }
.panel { display: flex; flex-direction: column; }
.panel h4 { margin: 0; font-size: 13px; } .panel p { font-size: 11px; margin: 2px 0 6px; }
.stat p { font-size: 10px; flex: 1 0 auto; }
svg { display: block; width: 100%; height: auto; } .spark { height: 30px; }
.number { font-size: 26px; font-weight: bold; } .many { font-size: 15px; } .empty { color: #7a8592; font-size: 18px; padding: 12px 0; }
.error { color: #c62828; } .steps { font-size: 10px; color: #55606e; }
.grid { stroke: #e3e7ec; } .tick { font-size: 10px; fill: #55606e; } .threshold { stroke-dasharray: 5 4; }
.mark { stroke: #1f5fbf; stroke-dasharray: 2 3; stroke-width: 1.5; }
.line { fill: none; stroke-width: 1.6; } .area { fill-opacity: .22; stroke: none; }
table { border-collapse: collapse; width: 100%; font-size: 11px; } th { text-align: left; font-weight: normal; color: #55606e; }
th, td { padding: 1px 6px 1px 0; border-bottom: 1px solid #eef0f3; white-space: nowrap; } .value { text-align: right; }
.rows { font-size: 12px; } .rows td, .rows th { padding: 3px 10px 3px 0; }
i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.zero { font-size: 11px; color: #55606e; margin-top: 3px; white-space: normal; }
"""


def level(value, steps):
    """The colour of the highest threshold that the value has reached."""
    colour = "text"
    for step in steps or []:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return LEVELS[colour]


def _stat(panel, found, source):
    defaults = panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps")
    drawn = []
    for name, points in found:
        value = points[-1][1]
        colour = level(value, steps)
        text = escape(number(value, defaults["unit"], defaults.get("decimals")))
        label = f' <span class="tick">{escape(name)}</span>' if len(found) > 1 else ""
        drawn.append(f'<div class="number{" many" if len(found) > 1 else ""}" style="color:{colour}">{text}{label}</div>')
        if len(found) == 1:
            drawn.append(chart.spark(points, source.start, source.end, colour, 180, 30))
    return "".join(drawn)


def _lines(panel, found, source, marks):
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    # What is 0 throughout is named, and not drawn: eleven lines on top of each other say nothing.
    zero = [name for name, points in found if all(value == 0 for _, value in points)]
    others = [(name, points) for name, points in found if name not in zero] or found[:1]
    right = _on_the_right(panel)
    beside = [one for one in others if one[0] in right]
    main = [one for one in others if one[0] not in right] or beside
    all_points = [points for _, points in main]
    stacked = chart.stack(all_points) if "stacking" in custom else None
    values = [top for points in stacked for _, _, top in points] if stacked else [value for points in all_points for _, value in points]
    width = panel["gridPos"]["w"] * COLUMN - 22
    frame = Frame(width, panel["gridPos"]["h"] * UNIT, source.start, source.end, values, defaults.get("min"), 2 if unit == "bytes" else 10)
    drawn = [f'<svg viewBox="0 0 {frame.width} {frame.height}">', frame.axes(unit)]
    if custom["drawStyle"] == "bars":
        drawn.append(chart.bars(frame, stacked, source.step))
    elif stacked:
        drawn.append(chart.areas(frame, stacked, source.step))
    else:
        drawn.append(chart.lines(frame, all_points, source.step))
    dashed = "thresholdsStyle" in custom
    for step in reversed(defaults["thresholds"]["steps"][1:] if dashed else []):
        drawn.append(frame.threshold(step["value"], LEVELS[step["color"]], number(step["value"], unit)))
    drawn += [frame.mark(at, text) for at, text in marks]
    drawn.append("</svg>")
    if len(zero) < len(found):
        drawn.append(_legend(main, unit, defaults.get("decimals")))
    if beside and beside is not main:
        told = ", ".join(f"{escape(name)} {number(points[-1][1], right[name])}" for name, points in beside)
        drawn.append(f'<div class="zero">on an axis of its own: {told}</div>')
    if zero:
        drawn.append(f'<div class="zero">0 throughout: {escape(", ".join(zero))}</div>')
    return "".join(drawn)


def _on_the_right(panel):
    """Series with an axis of their own, and its unit."""
    found = {}
    for override in panel["fieldConfig"]["overrides"]:
        properties = {one["id"]: one["value"] for one in override["properties"]}
        if properties.get("custom.axisPlacement") == "right":
            found[override["matcher"]["options"]] = properties["unit"]
    return found


def _legend(found, unit, decimals):
    rows = []
    for place, (name, points) in enumerate(found):
        last, most = (number(value, unit, decimals) for value in (points[-1][1], max(value for _, value in points)))
        rows.append(
            f'<tr><td><i style="background:{COLOURS[place % len(COLOURS)]}"></i>{escape(name)}</td>'
            f'<td class="value">{escape(last)}</td><td class="value">{escape(most)}</td></tr>'
        )
    return f'<table><tr><th></th><th class="value">last</th><th class="value">max</th></tr>{"".join(rows)}</table>'


def _table(panel, rows):
    order = panel["options"].get("sortBy")
    names = panel["transformations"][-2]["options"]["include"]["names"]
    headings = panel["transformations"][-1]["options"]["renameByName"]
    settings = {
        one["matcher"]["options"]: {entry["id"]: entry["value"] for entry in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    if order:
        key = next(name for name in names if headings.get(name, name) == order[0]["displayName"])
        rows = sorted(rows, key=lambda row: row.get(key, float("-inf")), reverse=order[0]["desc"])
    drawn = ["<tr>", *(f'<th{_side(name)}>{escape(headings.get(name, name))}</th>' for name in names), "</tr>"]
    for row in rows:
        cells = [_cell(name, row.get(name), settings.get(headings.get(name, name), {})) for name in names]
        drawn.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="rows">{"".join(drawn)}</table>'


def _side(name):
    return ' class="value"' if name.startswith("Value") else ""


def _cell(name, value, settings):
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    if value is None:
        return f"<td{_side(name)}>-</td>"
    steps = settings.get("thresholds", {}).get("steps")
    text = number(value, settings.get("unit", "short"), settings.get("decimals"))
    return f'<td{_side(name)} style="color:{level(value, steps)}">{escape(text)}</td>'


def _steps(panel):
    """The thresholds in words."""
    defaults = panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps")
    if not steps:
        return ""
    told = [
        f'<span style="color:{LEVELS[step["color"]]}">{step["color"]}'
        f'{_reached(step["value"], defaults["unit"])}</span>'
        for step in steps
    ]
    return f'<div class="steps">{", ".join(told)}</div>'


def _reached(value, unit):
    if value is None:
        return ""
    return " above 0" if 0 < value <= 1e-6 else f" from {escape(number(value, unit))}"


def panel_html(name, panel, found, error, source, marks):
    """One panel. `data-drawn` says whether there was something to draw."""
    defaults = panel["fieldConfig"]["defaults"]
    if error:
        state, body = "error", f'<div class="error">{escape(error)}</div>'
    elif not found:
        state, body = "empty", f'<div class="empty">{escape(defaults.get("noValue", "no data"))}</div>'
    else:
        state = "yes"
        body = {
            "stat": lambda: _stat(panel, found, source),
            "timeseries": lambda: _lines(panel, found, source, marks),
            "table": lambda: _table(panel, found),
        }[panel["type"]]()
    return (
        f'<section class="panel {panel["type"]}" data-panel="{name}" data-drawn="{state}"'
        f' style="grid-column: span {panel["gridPos"]["w"]}">'
        f'<h4>{escape(panel["title"])}</h4><p>{escape(panel["description"])}</p>{body}{_steps(panel)}</section>'
    )


def page(boards, source):
    def moment(at):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))

    span = f"{moment(source.start)} to {moment(source.end)} UTC, a point each {source.step:.3g} s, rates over {source.rate_interval:.3g} s"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Sealgate: Fleet and Flow</title>',
        f"<style>{STYLE}</style></head><body>",
    ]
    for title, description, panels in boards:
        parts.append(f'<h1>{escape(title)}</h1><p>{escape(description)} {escape(span)}.</p><div class="board">{"".join(panels)}</div>')
    parts.append("</body></html>\n")
    return "\n".join(parts)
