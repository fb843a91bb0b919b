"""The operator's pages, behind the token (`operator_token.py`). All of them work without JavaScript."""
