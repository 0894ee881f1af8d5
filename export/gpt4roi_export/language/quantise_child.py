"""The child that quantises: one call of llama.cpp, which may end the process. Knows no bundle."""

import os
import sys
from pathlib import Path

from gpt4roi_export.language.quantise import REFUSED
from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.own_python import leave_no_core_dump

_BUFFER_BYTES = 256 << 20  # rows in work at once; llama.cpp would take 8 GiB where a tensor is that large


def main(source: Path, target: Path, file_type: int, threads: int) -> int:
    """Quantise ``source`` into ``target``."""
    leave_no_core_dump()
    try:
        library = load_library()
    except EngineError as error:
        return _refused(error.problem)
    api = library.api
    params = api.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = threads
    params.allow_requantize = True  # what it is quantised from was checked by the parent
    params.max_buf_size = _BUFFER_BYTES
    library.log.clear()
    if api.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) != 0:
        return _refused(library.log.complaints())
    return 0


def _refused(why: str) -> int:
    print(" ".join(why.split()), file=sys.stderr)  # noqa: T201 - the answer to the parent
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
