"""What watches the lab: Prometheus' rules, Alertmanager's routes, Grafana's dashboards."""
