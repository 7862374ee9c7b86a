"""The second stage: features, examples, ranker, and lists from ranked candidates."""
