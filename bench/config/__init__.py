"""Configs: from YAML to the cases that they describe."""
