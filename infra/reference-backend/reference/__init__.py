"""A small MindSpeed-LLM stand-in that trains on CPU; see ../README.md."""
