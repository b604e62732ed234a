"""Turns texts into Megatron's .bin/.idx, as MindSpeed-LLM's preprocess_data.py does for pretraining."""

from reference.preprocess import main

if __name__ == "__main__":
    main()
