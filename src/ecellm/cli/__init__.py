"""The `ecellm` command: one file a verb (`app.py` names them), and its start (`main.py`)."""
