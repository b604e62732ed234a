/** A worker's runtime, which is one a process, with one figure of its own: `send-figures.ts <PRETRAIN_METRICS>`. */
import { Runtime } from '@temporalio/worker';
import { readMetricsConfig } from '../../workers/config.js';
import { installRuntime } from '../../workers/connect.js';

installRuntime({ node: 'node-7' }, readMetricsConfig({ PRETRAIN_METRICS: process.argv[2] }));
Runtime.instance().metricMeter.createCounter('pretrain_tried').add(3, {});
setInterval(() => undefined, 1000);
