"""The charts: functions from rows, as `prepare` returns them, to pictures; one file per theme."""
