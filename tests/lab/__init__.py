"""A device lab on one Linux machine, for tests: real peers that run arm64 programs under qemu.

A "jetson" (Debian's own aarch64 OpenSSH server) and "phones" (AOSP's adbd for
aarch64, toybox, no glibc on their paths), out of the package registries alone.
The numerics are those of the arm64 kernels; no time measured here means anything.
"""
