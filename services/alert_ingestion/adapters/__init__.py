"""What monitoring systems send, turned into alerts: one file for each source.

Each ``read`` takes the webhook's body and gives the alerts that fire and those
that are over, keyed by the source's own fingerprint.
"""
