"""Figures: a study's tables as figures and as one page."""
