"""Where the app starts when it is one folder without a Python: docs/desktop.md says how that is built.

The model's process and the checks of an engine are the same program with other arguments.
"""

import sys

from gpt4roi_runtime.own_python import ran_own_module

if __name__ == "__main__" and not ran_own_module(sys.argv[1:]):
    from gpt4roi_runtime.__main__ import main

    sys.argv.insert(1, "app")
    main()
