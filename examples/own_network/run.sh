#!/usr/bin/env bash
# From a torchvision network to a verified INT8 file: import, calibrate, convert, verify, predict.
#
# Run it in an empty folder, with edgeskin on the PATH:   bash .../examples/own_network/run.sh
# The network is ResNet-18 with its own weights; the photos are phantoms (see make.py).
# With TARGET=tflite or TARGET=coreml it makes the file for another runtime. Research use.
set -euo pipefail
example=$(cd "$(dirname "$0")" && pwd)

python "$example/make.py" --epochs "${EPOCHS:-20}"

# The network, its weights and its spec become a run: a folder that every other command takes.
edgeskin import --model torchvision.models:resnet18 --model-args '{"num_classes": 4}' \
  --weights weights.pth --spec spec.json --out run

# INT8 scales from images of the train split. 256 is the default; there are 96.
edgeskin calibrate run --data data --samples "${SAMPLES:-64}" --out program.pt2

# One file with its spec inside, and manifest.json beside it.
edgeskin convert program.pt2 --target "${TARGET:-onnx}" --no-timing --out app

# Both models on all 32 test images. Exit code 1 if the file is below the floor or loses too much.
edgeskin verify app/own-network-int8.* --reference run --data data --min-sqnr-db 10 --max-drop 10

# One file is enough to predict: it knows its size, colours and labels.
edgeskin predict app/own-network-int8.* data/images/test_00000.png
