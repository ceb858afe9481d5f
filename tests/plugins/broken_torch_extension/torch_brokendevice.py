"""Fails to be imported as torch-npu does on a machine without CANN."""

raise ImportError("libascendcl.so: cannot open shared object file: No such file or directory")
