"""The command line: one file a command, each thin; heavy imports stay inside the commands."""
