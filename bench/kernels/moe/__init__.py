"""The kernels of a mixture-of-experts layer: the whole layer, and its parts without the experts."""
