"""Who may do what, how often, and be told what: keys, origins, rates, room, disclosure."""
