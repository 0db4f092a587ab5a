"""Charts as inline SVG, and numbers in their units: what `dashboards/preview` draws with. Nothing here knows a dashboard."""

import math
import time
from html import escape

COLOURS = ["#1f77b4", "#e07b00", "#2a9134", "#c4322f", "#7d5ba6", "#8c564b", "#c2529b", "#5f6b73", "#9a9400", "#0f97a8", "#3b3b98"]
LEVELS = {"green": "#2a7d2e", "orange": "#c46a00", "red": "#c62828", "text": "#1c2430"}
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 8, 20


def number(value, unit, decimals=None):
    """A value as a person reads it."""
    if value is None or math.isnan(value):
        return "-"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        return _scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
    if unit == "percentunit":
        return f"{_plain(value * 100, decimals)} %"
    if unit in ("locale", "none"):
        return f"{value:,.{decimals or 0}f}" if unit == "locale" else f"{value:.{decimals or 0}f}"
    if unit == "dateTimeAsIso":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value / 1000))
    suffix = {"mps": "/s", "reqps": "/s", "cps": "/s", "ops": "/s"}.get(unit, "")
    if abs(value) >= 10_000:
        return _scaled(value, 1000, ["", "k", "M", "G"]) + suffix
    return _plain(value, decimals) + (f" {suffix}" if suffix else "")


def _plain(value, decimals):
    if value == 0 or decimals == 0 and abs(value) >= 1:
        return f"{value:.0f}"
    digits = decimals if decimals else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(value):
    if value == 0:
        return "0 s"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(value) * factor >= 1:
            return f"{_plain(value * factor, None)} {name}"
    return f"{value:.1e} s"


def _scaled(value, base, names):
    place = 0
    while abs(value) >= base and place < len(names) - 1:
        value, place = value / base, place + 1
    return f"{_plain(value, None)} {names[place]}".strip()


def _ticks(low, high, base):
    """At most six numbers at even distances, which a person would choose."""
    rough = (high - low) / 4
    power = base ** math.floor(math.log(rough, base))
    step = next(step for step in (power, 2 * power, 5 * power, base * power) if step >= rough)
    first = math.floor(low / step)
    # Multiplied, not added up: sums of tenths go astray.
    return [place * step for place in range(first, math.ceil(high / step - 1e-9) + 1)]


def time_ticks(start, end):
    """Whole seconds, minutes or hours in between."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    step = next((step for step in steps if (end - start) / step <= 6), 86400)
    pattern = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    first = math.ceil(start / step) * step
    return [(at, time.strftime(pattern, time.gmtime(at))) for at in range(int(first), int(end) + 1, step)]


class Frame:
    """The area between the axes: where a moment and a value lie in it."""

    def __init__(self, width, height, start, end, values, least, base):
        self.width, self.height, self.start, self.end = width, height, start, end
        low, high = min([*values, 0 if least is None else least]), max([*values, 0])
        if high <= low:
            high = low + 1
        self.ticks = _ticks(low, high, base)
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.labelled = float("-inf")

    def x(self, at):
        return LEFT + (at - self.start) / (self.end - self.start) * (self.width - LEFT - RIGHT)

    def y(self, value):
        return TOP + (self.high - value) / (self.high - self.low) * (self.height - TOP - BOTTOM)

    def axes(self, unit):
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        drawn = []
        for value in self.ticks:
            y = self.y(value)
            drawn.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            drawn.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(number(value, unit))}</text>')
        for at, text in time_ticks(self.start, self.end):
            x = self.x(at)
            drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            drawn.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
        return "".join(drawn)

    def threshold(self, value, colour, text):
        """A dashed line, where it is within the frame: an axis is not stretched for it."""
        if not self.low <= value <= self.high:
            return ""
        y = self.y(value)
        # Two that are close to each other have one label; the legend has both.
        text, self.labelled = ("", self.labelled) if abs(y - self.labelled) < 12 else (text, y)
        return (
            f'<line class="threshold" stroke="{colour}" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" style="fill:{colour}" x="{self.width - RIGHT - 2}" y="{y - 3:.1f}" text-anchor="end">{escape(text)}</text>'
        )

    def mark(self, at, text):
        x = self.x(at)
        return (
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.height - BOTTOM}"/>'
            f'<text class="tick" style="fill:#1f5fbf" x="{x + 3:.1f}" y="{TOP + 8}">{escape(text)}</text>'
        )


def _runs(points, step):
    """Parts without a gap: a line over a time of which nothing is known would be made up."""
    runs = []
    for at, value in points:
        if runs and at - runs[-1][-1][0] <= 1.5 * step:
            runs[-1].append((at, value))
        else:
            runs.append([(at, value)])
    return runs


def _path(frame, points):
    return "M" + "L".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in points)


def lines(frame, all_points, step):
    drawn = []
    for place, points in enumerate(all_points):
        colour = COLOURS[place % len(COLOURS)]
        for run in _runs(points, step):
            if len(run) == 1:
                (at, value), = run
                drawn.append(f'<circle cx="{frame.x(at):.1f}" cy="{frame.y(value):.1f}" r="2" fill="{colour}"/>')
            else:
                drawn.append(f'<path class="line" stroke="{colour}" d="{_path(frame, run)}"/>')
    return "".join(drawn)


def stack(all_points):
    """The same series, each lying on those before it: pairs of floor and top by time."""
    floor, stacked = {}, []
    for points in all_points:
        stacked.append([(at, floor.get(at, 0), floor.get(at, 0) + value) for at, value in points])
        floor.update({at: top for at, _, top in stacked[-1]})
    return stacked


def areas(frame, stacked, step):
    drawn = []
    for place, points in enumerate(stacked):
        colour = COLOURS[place % len(COLOURS)]
        floors = {at: floor for at, floor, _ in points}
        for run in _runs([(at, top) for at, _, top in points], step):
            back = [(at, floors[at]) for at, _ in reversed(run)]
            drawn.append(f'<path class="area" fill="{colour}" d="{_path(frame, run + back)}Z"/>')
            drawn.append(f'<path class="line" stroke="{colour}" d="{_path(frame, run)}"/>')
    return "".join(drawn)


def bars(frame, stacked, step):
    width = max(1.0, 0.8 * (frame.x(frame.start + step) - LEFT))
    drawn = []
    for place, points in enumerate(stacked):
        colour = COLOURS[place % len(COLOURS)]
        for at, floor, top in points:
            x, y = min(max(frame.x(at) - width / 2, LEFT), frame.width - RIGHT - width), frame.y(top)
            drawn.append(f'<rect fill="{colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{frame.y(floor) - y:.1f}"/>')
    return "".join(drawn)


def spark(points, start, end, colour, width, height):
    """What a number was, without axes; its foot is 0."""
    high = max([value for _, value in points] + [0]) or 1
    low = min([value for _, value in points] + [0])
    place = lambda at, value: (  # noqa: E731
        f"{(at - start) / (end - start) * width:.1f},{(high - value) / (high - low) * (height - 2) + 1:.1f}"
    )
    line = "L".join(place(at, value) for at, value in points)
    foot = f"L{place(points[-1][0], 0)}L{place(points[0][0], 0)}Z"
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'<path class="area" fill="{colour}" d="M{line}{foot}"/><path class="line" stroke="{colour}" d="M{line}"/></svg>'
    )
