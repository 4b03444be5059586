"""NVIDIA's tools: their formats as JetPack 5 and 6 print them."""

from pathlib import Path

import pytest

from edgeskin.benchmarks.devices import Facts
from edgeskin.benchmarks.devices.nvidia import read_line, read_times, tool
from edgeskin.errors import NotSupportedHere, RunFailed

ORIN = (
    "11-20-2026 12:00:00 RAM 2448/7620MB (lfb 4x2MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [3%@1510,off,0%@729,12%@1510,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 97%@[624] "
    "cpu@48.5C soc2@47.3C gpu@-256C tj@48.8C VDD_IN 4940mW/4940mW VDD_CPU_GPU_CV 1002mW/999mW"
)
XAVIER = "RAM 1903/6850MB (lfb 2x4MB) CPU [20%@1420,14%@1420] GR3D_FREQ 0% AO@36.5C PMIC@100C"
TIMES = '[{"h2dMs": 0.1, "computeMs": 1.25, "latencyMs": 1.5}, {"computeMs": 2, "latencyMs": 3}]'


def test_a_line_of_an_orin() -> None:
    assert read_line(ORIN) == {
        **{"ram_mb": 2448, "gpu_percent": 97, "gpu_mhz": 624},
        **{"cpu0_percent": 3, "cpu0_mhz": 1510, "cpu2_percent": 0, "cpu2_mhz": 729},
        **{"cpu3_percent": 12, "cpu3_mhz": 1510},
        **{"cpu_c": 48.5, "soc2_c": 47.3, "tj_c": 48.8},
        **{"vdd_in_mw": 4940, "vdd_cpu_gpu_cv_mw": 1002},
    }


def test_a_line_of_an_older_board() -> None:
    found = read_line(XAVIER)
    assert (found["ram_mb"], found["gpu_percent"], found["ao_c"]) == (1903, 0, 36.5)
    assert "gpu_mhz" not in found


def test_timing_file(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(TIMES)
    assert read_times(path).compute_ms == (1.25, 2.0)
    assert read_times(path).latency_ms == (1.5, 3.0)


@pytest.mark.parametrize("text", ["", "{}", '[{"computeMs": 1}]', "[]"])
def test_a_file_that_is_no_timing_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(RunFailed, match="not a timing file of trtexec|measured nothing"):
        read_times(path)


def test_a_device_without_the_tools() -> None:
    with pytest.raises(NotSupportedHere, match="no trtexec.*JetPack"):
        tool(Facts(tools=("/usr/bin/tegrastats",)), "trtexec")
