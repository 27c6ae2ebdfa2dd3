"""What runs in browsers: the tag, as source, and how it is served. May import nothing of ours."""
