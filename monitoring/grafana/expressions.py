"""Selectors and expressions that several dashboards share."""

OF_SERVICE = 'service=~"$service"'
"""The services that the viewer has chosen."""
CUSTOMERS = f'{OF_SERVICE},route!~"/(health|metrics|docs|openapi.json|ops/.*|admin/.*)"'
"""Requests as the rules count them, too: not those of probes and operators."""
RELEASES = f"max by (service, release) (build_info{{{OF_SERVICE}}})"


def rate(counter: str, *, by: str, of: str = OF_SERVICE) -> str:
    """How often a second a counter grows, for each value of the labels ``by``."""
    return f"sum by ({by}) (rate({counter}{{{of}}}[$interval]))"


def quantile(wanted: float, histogram: str, *, by: str = "service", of: str = OF_SERVICE) -> str:
    """A quantile (0 to 1) of a histogram in its unit, for each value of the labels ``by``."""
    return f"histogram_quantile({wanted:g}, {rate(f'{histogram}_bucket', by=f'{by}, le', of=of)})"


def share(part: str, whole: str) -> str:
    """How much of the whole a part is, 0 to 1: 0 where it has no series, and nothing of nothing."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"
