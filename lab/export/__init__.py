"""A run as data: its metrics, logs, traces and truth, in the formats that root-cause research reads."""
