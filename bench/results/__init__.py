"""Result files: their columns, and how rows are written, read and checked."""
