"""`nba report`: what contacting earned, as a page, tables, JSON and an MLflow run."""
