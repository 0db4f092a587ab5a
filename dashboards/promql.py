"""PromQL, as the panels need it: every query is of the chosen gateways, and no other series than theirs stands in one."""


def series(name, where=""):
    """The series of the chosen gateways. `where`: more matchers."""
    return f'sealgate_{name}{{instance=~"$instance"{", " + where if where else ""}}}'


def _sum(of, by):
    return f"sum by ({by}) ({of})" if by else f"sum({of})"


def total(name, by="", where=""):
    """What a gauge stands at, or a counter since its gateway started."""
    return _sum(series(name, where), by)


def rate(name, by="", where="", over="$__rate_interval"):
    """How often a second."""
    return _sum(f"rate({series(name, where)}[{over}])", by)


def increase(name, by="", where="", over="$__rate_interval", before=""):
    """How often in the time `over`; `before`: in that time before this one."""
    offset = f" offset {before}" if before else ""
    return _sum(f"increase({series(name, where)}[{over}]{offset})", by)


def share(part, whole):
    """A part of the whole. Nothing while the whole is 0, for then there is no share."""
    return f"{part} / ({whole} > 0)"


def quantile(q, name, by=""):
    """A quantile of a histogram. Without an observation it is no number, which the comparison leaves out."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(name + '_bucket', labels)}) >= 0"


def mean(name):
    return share(rate(name + "_sum"), rate(name + "_count"))


def of_version(expr):
    """An expression by instance, by the version that the instance runs then."""
    return f"sum by (version) (({expr}) * on (instance) group_left (version) {series('build_info')})"


def first_seen(expr, step="$__rate_interval"):
    """When within the time range `expr` had a value first, in Unix milliseconds, to within a step."""
    return f"min_over_time(timestamp({expr})[$__range:{step}]) * 1000"


def last_seen(expr, step="$__rate_interval"):
    return f"max_over_time(timestamp({expr})[$__range:{step}]) * 1000"
