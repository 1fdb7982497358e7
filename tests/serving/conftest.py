"""Step tables that several tests use."""

from dataclasses import replace

import pytest

from gigawatt.catalog import load_catalog
from gigawatt.hardware import chip_of, fabric_of
from gigawatt.model import transformer_of
from gigawatt.serving import SERVING_PRECISIONS, Layouts, Served, engine_constants, step_table


@pytest.fixture(scope="session")
def make_table():
    def make(model="Llama 3.1 70B", chip="H100 SXM", precision="fp8", bandwidth=1.0, engine="vllm", **degrees):
        known = load_catalog()
        on = chip_of(known.accelerator(chip))
        on = replace(on, memory_bytes_per_s=on.memory_bytes_per_s * bandwidth)
        layouts = Layouts.of(**degrees)
        served = Served(
            model=transformer_of(known.models[model]),
            chip=on,
            fabric=fabric_of(known.accelerator(chip), int(layouts.accelerators.max())),
            precision=SERVING_PRECISIONS[precision],
            constants=engine_constants(engine, chip),
        )
        return step_table(served, layouts)

    return make
