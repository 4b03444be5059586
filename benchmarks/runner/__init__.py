"""The native runner: its C++ sources, their cross builds, the runtimes' libraries, its language."""
