"""Programs of other processors run here: qemu, and the libraries of Debian that they need.

The kernels are the real ones, so outputs are to be believed; no time measured
here means anything.
"""
