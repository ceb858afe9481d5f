"""Stands in for vLLM: the folders that lead to what its adapter calls."""
