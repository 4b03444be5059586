"""The five skin-analysis systems on real images: trained, quantized, converted and measured.

Not part of the harness: it needs everything, and data that no package brings.
"""
