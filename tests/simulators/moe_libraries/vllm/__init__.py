"""Stands in for vLLM: the folders that lead to what its adapter calls, and what its import changes."""

import os

import torch._inductor.config

# vllm/env_override.py does so.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
torch._inductor.config.compile_threads = 1
