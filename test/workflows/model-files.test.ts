import { expect, test } from 'vitest';
import { namedFrom } from '../../workflows/model-files.js';

test.each([
  ['s3://models/qwen/mine', 'qwen/mine/config.json', 'config.json'],
  ['s3://models/qwen/mine/', 'qwen/mine/config.json', 'config.json'],
  ['s3://models/qwen/mine/*', 'qwen/mine/config.json', 'config.json'],
  ['s3://models/qwen/mine/tokenizer.json', 'qwen/mine/tokenizer.json', 'tokenizer.json'],
  ['s3://models', 'config.json', 'config.json'],
  ['s3://models/qwen', 'qwen/mine/config.json', 'mine/config.json'],
  ['hf://Qwen/Qwen3-8B@main', 'config.json', 'config.json'],
  ['hf://Qwen/Qwen3-8B', 'tokenizer.json', 'tokenizer.json'],
  ['hf://models/Qwen/Qwen3-8B@main/sub', 'sub/config.json', 'config.json'],
  ['hf://Qwen/Qwen3-8B/*.json', 'config.json', 'config.json'],
  ['modelscope://Qwen/Qwen3-8B@v1/sub/**', 'sub/config.json', 'config.json'],
  ['file:///models/qwen', 'config.json', 'config.json'],
])('of %s, %s is %s of the model', (source, path, name) => expect(namedFrom(source)(path)).toBe(name));
