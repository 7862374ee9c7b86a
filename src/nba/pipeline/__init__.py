"""Score-and-plan use cases over ports: what the nightly job, preview and rescoring share."""
