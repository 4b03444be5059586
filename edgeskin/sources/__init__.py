"""Models as other people keep them, each kind read by a module of its own, and made into runs."""
