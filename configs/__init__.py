"""The configs that ship with the harness, installed as bench.config.shipped; run one by its name."""
