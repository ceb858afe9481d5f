"""MoE layers by torch: one file for each implementation."""
