"""How results read: formats of numbers, names of cases, tables and their exporters."""
