"""Two storefronts on two origins, with the real products of the demo. May import what examples may."""
