"""How a Core ML file is run without edgeskin's session: text for `run.py` of a failing layer."""

PACKAGE = "edgeskin, whose MIL runtime runs Core ML packages on any system"
RUN = """def run(path, feeds):
    from edgeskin.runtimes import mil

    with mil.open_session(Path(path)) as session:
        return session.run(feeds)[CASE["output"]]
"""
