"""The versions of the database schema, one module each in `versions/`, oldest first."""
