"""Beside the rankers: customers without purchases, cool-downs, saving and loading."""
