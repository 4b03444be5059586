"""Two networks that answer as one: the first one's masks say what the last one sees.

A pipeline is a folder `NAME.pipeline`:

    pipeline.json   how the stages join, with every threshold, and the hash of each stage
    FIRST.tflite    the first stage, whose masks are used: an artifact, or a folder, a run
    LAST.tflite     the last stage, whose answer is the pipeline's

A pipeline of runs is the float reference of a pipeline of artifacts. `joins` is the one place
where masks become pictures for the last stage; nothing here needs torch.
"""
