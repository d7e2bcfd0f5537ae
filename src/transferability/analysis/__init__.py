"""Analysis: a study's metrics as tables, effects and intervals."""
