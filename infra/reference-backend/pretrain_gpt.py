"""Pretrains a Qwen3 model on CPU, with the arguments, files and log lines of MindSpeed-LLM's pretrain_gpt.py."""

from reference.training import pretrain

if __name__ == "__main__":
    pretrain()
