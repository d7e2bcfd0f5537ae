"""Study: what a params.yaml asks for, and what it will cost, without torch."""
