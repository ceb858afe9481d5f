"""Published claims, and whether measured rows support them."""
