"""Adapters for the ports: the only code that knows feast, mlflow and sqlalchemy."""
