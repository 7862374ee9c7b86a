"""What contacting brought: the figures of `nba report`, from the log and the tables alone."""
