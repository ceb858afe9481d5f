"""Backend `cuda`: GPUs of NVIDIA and AMD."""
