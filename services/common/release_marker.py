"""``build_info``: the release that serves, or one that was deployed and behaves the same."""

from collections.abc import Callable
from typing import Any

from services.common import metrics
from services.common.ops import OperatorSettings


class ReleaseMarker:
    """Keeps the one sample of ``build_info`` at the release that is to be seen.

    ``release`` is asked now and whenever ``operator``'s settings change: which
    one serves may be one of them.
    """

    def __init__(self, service: str, *, release: Callable[[], str], operator: OperatorSettings[Any]) -> None:
        self._service = service
        self._release = release
        self._deployed: str | None = None
        self._shown = ""
        operator.on_change(self._show)

    def deploy(self, release: str | None) -> None:
        """Show this release from now on; ``None``: the one that serves."""
        self._deployed = release
        self._show()

    def _show(self, *_: Any) -> None:
        release = self._deployed or self._release()
        if release == self._shown:
            return
        if self._shown:
            metrics.build_info.remove(self._service, self._shown)
        metrics.build_info.labels(self._service, release).set(1)
        self._shown = release
