"""The configs that ship with the harness, installed as bench.configs; run one by its name."""
