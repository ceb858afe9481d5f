"""The torch part that all backends share, and implementations for any torch device."""
