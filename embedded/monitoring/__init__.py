"""Metrics and alerts without Docker: scrapes, PromQL, rules, Alertmanager's webhook, Prometheus' HTTP API.

A small engine in the place of Prometheus and Alertmanager. It reads the same
rules files, and refuses at its start what it cannot evaluate as they would.
"""
