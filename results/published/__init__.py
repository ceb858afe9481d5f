"""Published results by chip; a package so that they travel in the wheel."""
