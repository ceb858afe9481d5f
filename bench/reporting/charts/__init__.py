"""The charts: functions from rows, as `prepare` returns them, to pictures; a file a theme."""
