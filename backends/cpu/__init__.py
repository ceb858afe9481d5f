"""Backend for processors: topology, peaks, kernels of its own, and torch for the rest."""
