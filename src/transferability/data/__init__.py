"""Data: where images come from, how they are packed, and the tasks that splits make of them."""
