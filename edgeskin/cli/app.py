"""The command line as typer sees it: one file a command, registered here."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeskin.cli import (
    advise,
    bench,
    bundle,
    calibrate,
    card,
    compare,
    convert,
    data,
    demo,
    devices,
    doctor,
    drift,
    export,
    history,
    import_,
    inspect,
    models,
    pack,
    pipeline,
    predict,
    pretrain,
    qat,
    report,
    schema,
    spec,
    stage_data,
    train,
    verify,
    verify_bundle,
)
from edgeskin.version import __version__

app = typer.Typer(
    name="edgeskin",
    help="Takes trained skin-analysis models to phones and Jetsons, with proof of what was lost.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, command in (
    ("demo", demo.demo),
    ("doctor", doctor.doctor),
    ("models", models.models),
    ("schema", schema.schema),
    ("data", data.data),
    ("pretrain", pretrain.pretrain),
    ("train", train.train),
    ("import", import_.import_),
    ("spec", spec.spec),
    ("calibrate", calibrate.calibrate),
    ("qat", qat.qat),
    ("convert", convert.convert),
    ("pipeline", pipeline.pipeline),
    ("stage-data", stage_data.stage_data),
    ("inspect", inspect.inspect),
    ("predict", predict.predict),
    ("verify", verify.verify),
    ("drift", drift.drift),
    ("pack", pack.pack),
    ("bench", bench.bench),
    ("compare", compare.compare),
    ("export", export.export),
    ("card", card.card),
    ("bundle", bundle.bundle),
    ("verify-bundle", verify_bundle.verify_bundle),
    ("report", report.report),
    ("devices", devices.devices),
    ("advise", advise.advise),
):
    app.command(name)(command)
app.add_typer(history.commands, name="history")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Runs before every command (a Typer callback carries the global options)."""
    if version:
        print(__version__)
        raise typer.Exit
