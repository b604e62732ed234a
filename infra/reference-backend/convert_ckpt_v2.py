"""Converts Qwen3 weights between Hugging Face and Megatron checkpoints, as MindSpeed-LLM's convert_ckpt_v2.py does."""

from reference.convert import main

if __name__ == "__main__":
    main()
