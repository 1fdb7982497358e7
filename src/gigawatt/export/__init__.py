"""A strategy on its way to a training framework, and back.

    strategy -> export_strategy -> Megatron-LM, Megatron-Bridge, torchtitan, MaxText
    torchtitan job file or module, Megatron-LM arguments -> read_strategy -> strategy

What a framework cannot say is a comment in its file and a sentence of `unsupported`. Option names and the versions
that were read are in data/. Covered are the decisions of a strategy and the sizes of a model; data, tokenizers,
normalisation, position embeddings and learning-rate schedules are left to whoever runs the training. Beside it: the load
of a site as a file for energy models, a cash flow as CSV or as a spreadsheet whose formulas are visible, and launch
commands of a serving plan for vLLM, SGLang and TensorRT-LLM.
"""

from gigawatt.export._export import FRAMEWORKS, READABLE, export_strategy, unsupported
from gigawatt.export._imported import Imported
from gigawatt.export._load import LOAD_KINDS, check_load_target, write_load
from gigawatt.export._options import Documented, documented_options
from gigawatt.export._plan import ExportRequest
from gigawatt.export._read import read_strategy
from gigawatt.export._serving import SERVING_ENGINES, Deployment, serving_files, serving_limits, write_serving
from gigawatt.export._serving_launch import ServingLaunch, Speculation
from gigawatt.export._spreadsheet import CASH_FLOW_SUFFIXES, check_cash_flow_target, write_cash_flow

__all__ = [
    "CASH_FLOW_SUFFIXES",
    "FRAMEWORKS",
    "LOAD_KINDS",
    "READABLE",
    "SERVING_ENGINES",
    "Deployment",
    "Documented",
    "ExportRequest",
    "Imported",
    "ServingLaunch",
    "Speculation",
    "check_cash_flow_target",
    "check_load_target",
    "documented_options",
    "export_strategy",
    "read_strategy",
    "serving_files",
    "serving_limits",
    "unsupported",
    "write_cash_flow",
    "write_load",
    "write_serving",
]
