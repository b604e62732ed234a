/** Every door that is fuzzed. */
import { bucket } from './bucket.js';
import { codecServer } from './codec.js';
import { dashboard } from './dashboard.js';
import { downloads } from './download.js';
import { glob } from './glob.js';
import { hub } from './hub.js';
import { indexFile } from './index-file.js';
import { trainingLog } from './log.js';
import { manifest } from './manifest.js';
import { safetensors, tokenizer, torchFile } from './model-files.js';
import { modelscope } from './modelscope.js';
import { npuTools } from './npu-tools.js';
import { peer } from './peer.js';
import { oneByte } from './one-byte.js';
import { rows } from './rows.js';
import { runFile } from './run-file.js';
import { service } from './service.js';
import { poolSignals } from './signals.js';
import { stateFiles } from './state-files.js';
import { poolUpdates, runUpdates } from './updates.js';

export const targets = [
  ...[runFile, ...rows, oneByte, indexFile, manifest, trainingLog, npuTools, stateFiles, hub, modelscope, service],
  ...[runUpdates, poolUpdates, poolSignals, glob, downloads, torchFile, safetensors, tokenizer],
  ...[peer, bucket, codecServer, dashboard],
];
