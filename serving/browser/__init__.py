"""What browsers meet: the tag and its calls, consent, cookies, who is who, and the consumer's own page."""
