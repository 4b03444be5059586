"""`edgeskin compare`: what a release changes against an old one, and the gates it must pass."""
