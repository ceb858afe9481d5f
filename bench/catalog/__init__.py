"""Published facts: shapes of models, peak rates of chips, prices; each with its source."""
