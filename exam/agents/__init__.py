"""Agents that sit an exam through ``lab mcp``: one solves it, one does nothing, one guesses."""
