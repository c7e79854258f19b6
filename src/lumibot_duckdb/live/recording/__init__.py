"""Records live bars: a bounded queue, and one thread that writes them to the store in batches."""
