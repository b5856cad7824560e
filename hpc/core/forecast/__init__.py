"""What runs will take, learned from runs that are known: scaled, drawn, held against limits and budgets. Pure."""
