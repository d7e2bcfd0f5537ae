"""Evaluation: what a trained network scores, and the file that deploys it."""
