"""Pure functions on rows and data frames: limits, statistics, comparisons."""
