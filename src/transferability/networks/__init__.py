"""Networks: what they are named, what they are made of, and how one starts from another."""
