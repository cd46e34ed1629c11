"""Fifty requests at the profile endpoint, and what came of them: ``python -m services.profile.load``."""

import argparse
import collections
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from services.common.catalog import service

TIMEOUT_S = 30.0


def main() -> None:
    """Send the requests and print status codes and latencies; exit code 1 if nothing answered."""
    default_url = os.environ.get("PROFILE_URL", service("profile").local_url)
    parser = argparse.ArgumentParser(description="Requests at the profile endpoint, with a summary.")
    parser.add_argument("--url", default=default_url, help="base URL of the service (%(default)s)")
    parser.add_argument("--requests", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=10, help="how many at once (%(default)s)")
    args = parser.parse_args()

    with httpx.Client(base_url=args.url, timeout=TIMEOUT_S, trust_env=False) as client:

        def send(n: int) -> tuple[str, float]:
            started = time.perf_counter()
            try:
                outcome = str(client.get(f"/api/users/profile/{n % 50 + 1}").status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            return outcome, time.perf_counter() - started

        with ThreadPoolExecutor(args.concurrency) as pool:
            results = list(pool.map(send, range(args.requests)))
    _print_summary(results, url=args.url)
    if not any(outcome.isdigit() for outcome, _ in results):
        sys.exit(f"nothing answered at {args.url}: is the service running (make run)?")


def _print_summary(results: list[tuple[str, float]], *, url: str) -> None:
    print(f"{len(results)} requests at {url}/api/users/profile/…")
    for outcome, count in sorted(collections.Counter(outcome for outcome, _ in results).items()):
        print(f"  {outcome:<14} {count:>4}")
    latencies_ms = sorted(took * 1000 for _, took in results)
    if len(latencies_ms) > 1:
        cuts = statistics.quantiles(latencies_ms, n=100, method="inclusive")
        print(
            f"  latency        p50 {cuts[49]:.0f} ms   p95 {cuts[94]:.0f} ms"
            f"   p99 {cuts[98]:.0f} ms   max {latencies_ms[-1]:.0f} ms"
        )


if __name__ == "__main__":
    main()
