"""How a case is measured: worker, supervisor, stopping rule and what they say to each other."""
