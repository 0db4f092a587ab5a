"""The pieces that dashboards are made of, as Grafana reads them: panels, queries, variables and links.

What stands here is the same on every dashboard; what a panel shows and why stands in fleet.py, flow.py and device.py.
"""

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's plugin for PostgreSQL is called "postgres" up to 10.2.2 and "grafana-postgresql-datasource" from 10.2.3 on, which goes on to
# take the old name as an alias, for datasources and for variables. So the old name works on 10 and later, and the new one does not.
POSTGRES = {"type": "postgres", "uid": "${database}"}

GOOD, WARNING, BAD = "green", "orange", "red"
# Grafana's thresholds are "from", and know no "above".
ABOVE_ZERO = 0.000001
PLAIN = {"mode": "fixed", "fixedColor": "text"}
WIDTH = 24


def query(expr, legend, instant=False):
    """A PromQL query over time, or of the end of the time range."""
    target = {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, "editorMode": "code", "range": not instant}
    if instant:
        target.update({"instant": True, "format": "table"})
    return target


def sql(text, over_time=False):
    """A query of the database: a table, or a series for each value of the column metric."""
    return {
        "datasource": POSTGRES,
        "editorMode": "code",
        "format": "time_series" if over_time else "table",
        "rawQuery": True,
        "rawSql": text.strip(),
    }


def thresholds(*steps):
    """The colour from below, and (value, colour) from each value on."""
    first, *others = steps
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}, *({"color": colour, "value": value} for value, colour in others)],
    }


def _panel(number, kind, title, description, targets, width, height, defaults, options, overrides=(), extra=None):
    for place, target in enumerate(targets):
        target["refId"] = chr(ord("A") + place)
    panel = {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": targets[0]["datasource"],
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": targets,
    }
    panel.update(extra or {})
    return panel


def _defaults(unit, steps=None, decimals=None, empty=None, least=None, mappings=None):
    defaults = {"unit": unit, "color": {"mode": "thresholds"} if steps else PLAIN}
    if steps:
        defaults["thresholds"] = thresholds(*steps)
    for key, value in (("decimals", decimals), ("noValue", empty), ("min", least), ("mappings", mappings)):
        if value is not None:
            defaults[key] = value
    return defaults


def stat(number, title, description, targets, unit, width=3, height=4, graph=True, text=False, **defaults):
    """One number each, the last of the time range, over what it was."""
    options = {
        "colorMode": "value",
        "graphMode": "area" if graph else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/.*/" if text else "", "values": False},
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    }
    return _panel(number, "stat", title, description, targets, width, height, _defaults(unit, **defaults), options)


def lines(number, title, description, targets, unit, width=8, height=8, stacked=False, points=False, steps=None, **defaults):
    """Series over time. With thresholds these are drawn as lines, and the series keep colours of their own."""
    custom = {
        "drawStyle": "points" if points else "line",
        "fillOpacity": 40 if stacked else 10,
        "lineWidth": 1,
        "showPoints": "always" if points else "auto",
        "spanNulls": False,
    }
    if stacked:
        custom["stacking"] = {"group": "A", "mode": "normal"}
    # "Above 0" is a colour in the legend; as a line it would lie on the axis.
    if steps and steps[1][0] > ABOVE_ZERO:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    settings = _defaults(unit, steps=steps, **defaults)
    settings["color"] = {"mode": "palette-classic"}
    settings["custom"] = custom
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel(number, "timeseries", title, description, targets, width, height, settings, options)


def bars(*arguments, **settings):
    """Counts of whole hours or other intervals, on top of each other."""
    panel = lines(*arguments, stacked=True, **settings)
    panel["fieldConfig"]["defaults"]["custom"].update({"drawStyle": "bars", "fillOpacity": 70, "showPoints": "never"})
    return panel


def table(number, title, description, targets, columns, width=12, height=8, empty=None, order=None):
    """Rows. `columns` names each column that is shown, in order: (field, heading, settings of `column`)."""
    shown = {field: heading for field, heading, _ in columns}
    overrides = [
        {"matcher": {"id": "byName", "options": heading}, "properties": properties} for _, heading, properties in columns if properties
    ]
    options = {"cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"]}, "frameIndex": 0, "showHeader": True}
    if order:
        options["sortBy"] = [{"desc": True, "displayName": order}]
    defaults = {"unit": "short", "color": PLAIN, "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}}
    if empty:
        defaults["noValue"] = empty
    # Several answers become one row for each set of labels.
    merge = [{"id": "merge", "options": {}}] if len(targets) > 1 else []
    # filterFieldsByName hides what is not named, such as an answer's time.
    transformations = [
        *merge,
        {"id": "filterFieldsByName", "options": {"include": {"names": list(shown)}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {field: place for place, field in enumerate(shown)},
                "renameByName": {field: heading for field, heading in shown.items() if field != heading},
            },
        },
    ]
    extra = {"transformations": transformations}
    return _panel(number, "table", title, description, targets, width, height, defaults, options, overrides, extra)


def column(unit=None, decimals=None, width=None, steps=None, link=None):
    """What is particular to a column of a table."""
    properties = []
    if unit:
        properties.append({"id": "unit", "value": unit})
    if decimals is not None:
        properties.append({"id": "decimals", "value": decimals})
    if width:
        properties.append({"id": "custom.width", "value": width})
    if steps:
        properties.append({"id": "thresholds", "value": thresholds(*steps)})
        properties.append({"id": "color", "value": {"mode": "thresholds"}})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    if link:
        title, url = link
        properties.append({"id": "links", "value": [{"title": title, "url": url}]})
    return properties


def heading(number, title):
    """What begins a section."""
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": {"w": WIDTH, "h": 1}, "panels": []}


def _placed(panels):
    """From left to right, and on to the next line where the width is used up."""
    left, top, height = 0, 0, 0
    for panel in panels:
        size = panel["gridPos"]
        if left + size["w"] > WIDTH:
            left, top, height = 0, top + height, 0
        panel["gridPos"] = {"x": left, "y": top, **size}
        left, height = left + size["w"], max(height, size["h"])
    return panels


def datasource_variable(name, label, plugin):
    return {
        "name": name,
        "label": label,
        "type": "datasource",
        "query": plugin,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def query_variable(name, label, datasource, text, many, refresh, everything=None):
    """Values that a query gives. `refresh`: 1 on load, 2 whenever the time range changes."""
    prometheus = datasource is PROMETHEUS
    variable = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": datasource,
        "query": {"query": text, "refId": name} if prometheus else text,
        "hide": 0,
        "includeAll": many,
        "multi": many,
        "options": [],
        "refresh": refresh,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1 if prometheus else 0,
    }
    if many:
        variable["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    if everything:
        variable["allValue"] = everything
    return variable


def custom_variable(name, label, values, many=False):
    """Values that are known; the first one is chosen, or all."""
    chosen = {"text": ["All"], "value": ["$__all"]} if many else {"text": values[0], "value": values[0]}
    every = [{"selected": True, "text": "All", "value": "$__all"}] if many else []
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "current": {"selected": True, **chosen},
        "hide": 0,
        "includeAll": many,
        "multi": many,
        "options": every + [{"selected": not many and value == values[0], "text": value, "value": value} for value in values],
        "skipUrlSync": False,
    }


GATEWAYS = [
    datasource_variable("datasource", "Prometheus", "prometheus"),
    query_variable("instance", "Gateway", PROMETHEUS, "label_values(sealgate_build_info, instance)", many=True, refresh=2, everything=".*"),
]


def mark(name, colour, expr, title):
    """A line through every panel, wherever `expr` has a value."""
    return {
        "name": name,
        "datasource": PROMETHEUS,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "target": {"refId": "Anno", "expr": expr},
        "expr": expr,
        "step": "15s",
        "titleFormat": title,
        "textFormat": "{{instance}}",
    }


def dashboard(uid, title, description, variables, panels, marks=(), span="now-1h"):
    others = {
        "title": "Sealgate",
        "type": "dashboards",
        "tags": ["sealgate"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["sealgate"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": span, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "links": [others],
        "annotations": {"list": list(marks)},
        "templating": {"list": variables},
        "panels": _placed(panels),
    }
