"""Seams between the graph and the plan."""
