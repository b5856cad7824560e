"""What runs used against what they asked for, and where their time went. Pure."""
