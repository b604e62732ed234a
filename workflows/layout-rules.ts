/**
 * Whether a model, a layout and a cluster fit together, with the arithmetic shown. Megatron asserts most of this
 * too, on every node at start; here it costs nothing.
 */
import type { ModelSizes } from './presets.js';
import { isAtLeast, type Release } from './releases.js';
import type { Parallel } from './topology.js';

export interface Fit {
  nodes: number;
  devices: number;
  parallel: Parallel;
  globalBatch: number;
  microBatch: number;
  seqLength: number;
  release: Release;
}

export type Complaint = { path: string; expected: string } | undefined;

export const dataParallel = ({ nodes, devices, parallel: { tp, pp, cp } }: Fit): number =>
  (nodes * devices) / (tp * pp * cp);

export function worldRule({ nodes, devices, parallel: { tp, pp, cp } }: Fit): Complaint {
  const [needed, world] = [tp * pp * cp, nodes * devices];
  if (world % needed === 0) return undefined;
  return {
    path: 'parallel',
    expected: `tp·pp·cp = ${tp}·${pp}·${cp} = ${needed} that divides the world of ${nodes} nodes × ${devices} devices = ${world}`,
  };
}

export function batchRule(fit: Fit): Complaint {
  const [dp, { globalBatch, microBatch }] = [dataParallel(fit), fit];
  if (globalBatch % (microBatch * dp) === 0) return undefined;
  return {
    path: 'train.globalBatch',
    expected: `a multiple of microBatch·dp = ${microBatch}·${dp} = ${microBatch * dp}`,
  };
}

/** Interleaved stages take turns with `pp` micro-batches at a time. */
export function interleavedBatchRule(fit: Fit): Complaint {
  const { pp, layersPerVirtualStage } = fit.parallel;
  const micros = fit.globalBatch / (fit.microBatch * dataParallel(fit));
  if (layersPerVirtualStage === undefined || micros % pp === 0) return undefined;
  return {
    path: 'train.globalBatch',
    expected: `globalBatch/(microBatch·dp) that is a multiple of pp = ${pp}, since stages are interleaved; it is ${fit.globalBatch}/(${fit.microBatch}·${dataParallel(fit)}) = ${micros}`,
  };
}

export function expertGridRule(fit: Fit): Complaint {
  const { tp, cp, ep, etp = tp } = fit.parallel;
  const dp = dataParallel(fit);
  if ((dp * cp * tp) % (ep * etp) !== 0)
    return {
      path: 'parallel.ep',
      expected: `ep·etp = ${ep}·${etp} = ${ep * etp} that divides dp·cp·tp = ${dp}·${cp}·${tp} = ${dp * cp * tp}`,
    };
  if (isAtLeast(fit.release, '2.2.0')) return undefined;
  if (dp % ep !== 0)
    return { path: 'parallel.ep', expected: `a divisor of dp = ${dp}, since Megatron 0.8 cuts experts along it` };
  // It counts experts past the parts of a sequence; checkpoints are copied by the newer count.
  if (ep > 1 && cp > 1)
    return { path: 'parallel.ep', expected: `1 with parallel.cp = ${cp} and MindSpeed-LLM ${fit.release}` };
  return undefined;
}

export function expertTensorRule({ parallel: { tp, ep, etp }, release }: Fit): Complaint {
  if (etp === undefined || etp === tp) return undefined;
  if (etp !== 1) return { path: 'parallel.etp', expected: `1 or tp = ${tp}: the converter knows no other` };
  if (!isAtLeast(release, '2.2.0'))
    return { path: 'parallel.etp', expected: `no such field with MindSpeed-LLM ${release}` };
  if (tp % ep === 0 || ep % tp === 0) return undefined;
  return { path: 'parallel.etp', expected: `none, or tp = ${tp} and ep = ${ep} of which one divides the other` };
}

export function sequenceRule({ parallel: { cp }, seqLength }: Fit): Complaint {
  if (cp === 1 || seqLength % (2 * cp) === 0) return undefined;
  return { path: 'train.seqLength', expected: `a multiple of 2·cp = 2·${cp} = ${2 * cp}` };
}

export function headsRule({ parallel: { tp } }: Fit, { heads }: ModelSizes): Complaint {
  return heads % tp === 0 ? undefined : { path: 'parallel.tp', expected: `a divisor of the model's ${heads} heads` };
}

export function groupsRule({ parallel: { tp } }: Fit, { groups }: ModelSizes): Complaint {
  if (groups % tp === 0) return undefined;
  return { path: 'parallel.tp', expected: `a divisor of the model's ${groups} key-value groups` };
}

/** The converter would write uneven nonsense and exit 0 where these do not divide. */
export function widthRule({ parallel: { tp } }: Fit, { hidden, ffn, vocab }: ModelSizes): Complaint {
  const uneven = Object.entries({ hidden, ffn, vocab }).find(([, size]) => size % tp !== 0);
  if (!uneven) return undefined;
  return { path: 'parallel.tp', expected: `a divisor of the model's ${uneven[0]} = ${uneven[1]}` };
}

export function groupsOfHeadsRule({ heads, groups }: ModelSizes): Complaint {
  if (heads % groups === 0) return undefined;
  return { path: 'model.sizes.groups', expected: `a divisor of heads = ${heads}` };
}

export function layersRule({ parallel }: Fit, { layers }: ModelSizes): Complaint {
  const { pp, noopLayers = [] } = parallel;
  const all = layers + noopLayers.length;
  if (all % pp === 0) return undefined;
  const sum = noopLayers.length ? ` + ${noopLayers.length} noop = ${all}` : '';
  return {
    path: 'parallel.pp',
    expected: `a divisor of the model's ${layers}${sum} layers${noopLayers.length ? '' : ', or parallel.noopLayers to fill up'}`,
  };
}

export function noopRule({ parallel: { noopLayers = [] } }: Fit, { layers }: ModelSizes): Complaint {
  const all = layers + noopLayers.length;
  const distinct = new Set(noopLayers).size === noopLayers.length;
  if (distinct && noopLayers.every((layer) => layer < all)) return undefined;
  return {
    path: 'parallel.noopLayers',
    expected: `different places below layers + noop = ${layers} + ${noopLayers.length} = ${all}`,
  };
}

export function virtualStageRule({ parallel }: Fit, { layers }: ModelSizes): Complaint {
  const { pp, layersPerVirtualStage: chunk, noopLayers = [] } = parallel;
  const stage = (layers + noopLayers.length) / pp;
  if (chunk === undefined) return undefined;
  const path = 'parallel.layersPerVirtualStage';
  if (pp === 1) return { path, expected: 'no such field with pp = 1: there is nothing to interleave' };
  if (stage % chunk === 0 && chunk < stage) return undefined;
  return {
    path,
    expected: `a divisor of the layers of a stage, and less: (${layers} + ${noopLayers.length} noop)/pp = ${layers + noopLayers.length}/${pp} = ${stage}`,
  };
}

export function expertsRule({ parallel: { ep, tp, etp = tp } }: Fit, { moe }: ModelSizes): Complaint {
  if (!moe) return ep === 1 ? undefined : { path: 'parallel.ep', expected: '1, since the model has no experts' };
  if (moe.experts % ep !== 0)
    return { path: 'parallel.ep', expected: `a divisor of the model's ${moe.experts} experts` };
  if (moe.ffn % etp === 0) return undefined;
  return { path: 'parallel.etp', expected: `a divisor of an expert's width ${moe.ffn}` };
}

export function sharedExpertsRule({ release }: Fit, { moe }: ModelSizes): Complaint {
  if (moe?.sharedFfn === undefined || isAtLeast(release, '2.2.0')) return undefined;
  return { path: 'model.sizes.moe.sharedFfn', expected: `no such field with MindSpeed-LLM ${release}` };
}

/** Rotary embedding turns pairs. */
export function headDimRule({ headDim }: ModelSizes): Complaint {
  return headDim % 2 === 0 ? undefined : { path: 'model.sizes.headDim', expected: 'an even number' };
}

export function topkRule({ moe }: ModelSizes): Complaint {
  if (!moe || moe.topk <= moe.experts) return undefined;
  return { path: 'model.sizes.moe.topk', expected: `at most moe.experts = ${moe.experts}` };
}

/** Rules over the model alone, rules that only need the layout, and those that need the model's sizes as well. */
export const SIZE_RULES = [groupsOfHeadsRule, headDimRule, topkRule];
export const LAYOUT_RULES = [batchRule, interleavedBatchRule, expertGridRule, expertTensorRule, sequenceRule];
export const MODEL_RULES = [
  ...[headsRule, groupsRule, widthRule, layersRule, noopRule, virtualStageRule, expertsRule, sharedExpertsRule],
];
