"""`edgeskin history`: results over time, their noise, and where they changed."""
