"""The lab: what proves our own figures. It stays out of the package that is installed."""
