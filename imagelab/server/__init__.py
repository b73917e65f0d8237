"""Pages that a person uses: the blind test and the keep-or-reject pass of a run, and the list of all runs.

A small server on this machine only (127.0.0.1), with a random token in its address. It needs ``starlette`` and
``uvicorn`` (``pip install 'imagelab-collapse[audit]'``); choosing pictures and reading results needs neither, and
nothing here needs torch.
"""
