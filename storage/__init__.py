"""What is remembered: consumers, sites, activity, promotions and subscribers, in PostgreSQL.

The ground floor: imports nothing else of this project.
"""
