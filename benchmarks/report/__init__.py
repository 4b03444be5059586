"""What was measured, for the people who decide: a page, gates between releases, and a history.

Results of `bench` in; nothing here runs a model.
"""
