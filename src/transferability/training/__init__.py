"""Training: from a freshly started network to a checkpoint."""
