"""Broken artifacts, and what each of them must be refused for.

A mutant is made as it would come about: by a converter that makes a mistake, or
by a hand on the finished file. It stands in a folder of its own without a
manifest, so that what refuses it is what is wrong with it, not its hash.
"""
