"""Numbers, names of cases, and documents as text."""
