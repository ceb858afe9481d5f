"""YAML files that users write: read safely, with the line of every value for error messages."""
