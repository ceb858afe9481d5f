"""Conformance: whether a backend keeps the contract of bench.backend, and whether its numbers are true."""
