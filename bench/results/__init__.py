"""Result files: the columns, and how rows are written, read and checked."""
