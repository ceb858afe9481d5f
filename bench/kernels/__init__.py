"""What is measured: one file a kernel, each with its parameters, FLOPs, bytes and reference."""
