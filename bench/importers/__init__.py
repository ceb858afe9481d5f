"""Readers of other benchmarks' result files, and the rows that are made of what they say."""
