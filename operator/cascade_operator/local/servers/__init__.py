"""Stage 93: the embedded servers, each a process of its own that ends when its owner does."""
