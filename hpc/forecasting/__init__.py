"""What a plan will take: runs that are known are read, the forecast is made of them, and kept."""
