"""The backends that come with the harness: one file a vendor, and what torch devices share."""
