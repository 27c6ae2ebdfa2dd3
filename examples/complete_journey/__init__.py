"""A year of real households' purchases across the departments of a store, each taken as a network site."""
