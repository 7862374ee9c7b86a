"""The HTTP service."""

from nba.serving.app import create_app
from nba.serving.services import Access, Services

__all__ = ["Access", "Services", "create_app"]
